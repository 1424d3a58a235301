// Fetches the figures that the page left out, one after the other, and reads points off charts.
// Without it the page has a link to each of these figures, and a table for each chart.
"use strict";

async function load(place) {
  place.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(place.querySelector("a").href, { credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const figure = page.querySelector(".figure");
    const section = place.closest(".figure");
    const body = document.adoptNode(figure.querySelector(".body"));
    place.replaceWith(body);
    if (section.querySelectorAll(".body").length === 1) section.className = figure.className;
    body.querySelectorAll(".plot").forEach(readOff);
  } finally {
    place.removeAttribute("aria-busy");
  }
}

async function loadAll() {
  for (const place of document.querySelectorAll("[data-load]")) {
    await load(place).catch(() => {});
  }
}

// Shows the row of the plot's table that is pointed at, tapped, or gone to by the arrow keys.
function readOff(plot) {
  const table = plot.closest(".body").querySelector("table");
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = [...table.tBodies[0].rows];
  if ("backwards" in plot.dataset) rows.reverse();
  const readout = document.createElement("p");
  readout.className = "readout";
  readout.role = "status";
  plot.after(readout);
  const cursor = document.createElementNS(plot.namespaceURI, "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y2", "100%");
  let place = rows.length - 1;

  function show(wanted) {
    place = Math.min(rows.length - 1, Math.max(0, wanted));
    const texts = [...rows[place].cells].map((cell) => cell.textContent.trim());
    const known = texts.map((text, number) => `${names[number]} ${text}`);
    readout.textContent = known.join(", ");
    const percent = `${(100 * (place + 0.5)) / rows.length}%`;
    cursor.setAttribute("x1", percent);
    cursor.setAttribute("x2", percent);
    plot.querySelector(".box").append(cursor);
  }

  function point(event) {
    const box = plot.getBoundingClientRect();
    show(Math.floor(((event.clientX - box.left) / box.width) * rows.length));
  }

  function clear() {
    readout.textContent = "";
    cursor.remove();
  }

  plot.tabIndex = 0;
  plot.addEventListener("pointerdown", point);
  plot.addEventListener("pointermove", point);
  // A finger that is lifted leaves as well, and is no reason to forget what it tapped.
  plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && clear());
  plot.addEventListener("focus", () => show(place));
  plot.addEventListener("blur", clear);
  plot.addEventListener("keydown", (event) => {
    const goal = {
      ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: rows.length - 1,
      PageUp: place - 10, PageDown: place + 10,
    }[event.key];
    if (goal === undefined) return;
    event.preventDefault();
    show(goal);
  });
}

document.querySelectorAll(".plot").forEach(readOff);
loadAll();
