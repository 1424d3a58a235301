// Fetches the figures that the page left out, one after the other, and reads points off the charts.
// Without it the page has a link to each of these figures, and a table for each chart.
"use strict";

async function load(place) {
  place.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(place.dataset.load, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const figure = page.querySelector(".figure");
    const section = place.closest(".figure");
    place.replaceWith(document.adoptNode(figure.querySelector(".body")));
    section.className = figure.className;
    section.querySelectorAll(".plot").forEach(readOff);
  } finally {
    place.removeAttribute("aria-busy");
  }
}

async function loadAll() {
  for (const place of document.querySelectorAll("[data-load]")) {
    await load(place).catch(() => {});
  }
}

// Shows the row of the plot's table that the pointer is over.
function readOff(plot) {
  const table = plot.closest(".body").querySelector("table");
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows];
  if ("backwards" in plot.dataset) rows.reverse();
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.ariaHidden = "true";
  plot.after(readout);
  const cursor = document.createElementNS(plot.namespaceURI, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y2", "100%");
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const place = Math.floor(((event.clientX - box.left) / box.width) * rows.length);
    const row = rows[Math.min(rows.length - 1, Math.max(0, place))];
    const cells = [...row.cells].map((cell, number) => `${names[number]} ${cell.textContent.trim()}`);
    readout.textContent = cells.join(", ");
    const percent = `${(100 * (rows.indexOf(row) + 0.5)) / rows.length}%`;
    cursor.setAttribute("x1", percent);
    cursor.setAttribute("x2", percent);
    plot.querySelector(".box").append(cursor);
  });
  plot.addEventListener("pointerleave", () => {
    readout.textContent = "";
    cursor.remove();
  });
}

document.querySelectorAll(".plot").forEach(readOff);
loadAll();
