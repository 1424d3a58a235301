"""A request, its computation and its statements are one trace, and no other caller's."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import Any

import pytest
import sqlalchemy
from flask import Flask
from marshmallow import Schema, fields
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from sqlalchemy import Engine, text

from flask_powerauth_telemetry import PowerAuthTelemetry, ReportContext, ReportProvider
from flask_powerauth_telemetry.state import EXTENSION_KEY
from tests.support import powerauth
from tests.support.callers import LONG, Gate, eventually
from tests.support.documents import MONITORING, evaluate, python_examples
from tests.support.held import TABLES, answer_of, create_held_database, hold
from tests.support.service import NOW, USER, ask, create_app

APPLICATIONS = tuple(f"application-{number}" for number in range(12))
SECRETS = ("user-id-7", "a-token", "pass-word", "application-")


class Gated(ReportProvider):
    """Sends its statement when it is let."""

    name = "GATED"
    definition = "All activations."
    parameters_schema = Schema.from_dict({})
    data_schema = Schema.from_dict({"activations": fields.Integer()})

    def __init__(self) -> None:
        self.gate = Gate()

    def generate(self, context: ReportContext, *_: Any, **__: Any) -> Mapping[str, Any]:
        self.gate()
        count = context.connection.scalar(text("SELECT count(*) FROM pa_activation"))
        return {"activations": count}


@pytest.fixture
def powerauth_database(database: Engine) -> Engine:
    """A database of either kind with a user of each application."""
    powerauth.create_schema(database)
    powerauth.add_applications(database, APPLICATIONS)
    now = powerauth.wall_clock(NOW, UTC)
    powerauth.add_activations(
        database,
        [
            powerauth.Activation(f"a-{number}", number, "user-id-7", now)
            for number in range(1, len(APPLICATIONS) + 1)
        ],
    )
    return database


def traced_app(*arguments: Any, **keys: Any) -> Flask:
    """An application with both instrumentations, as late as they may come."""
    SQLAlchemyInstrumentor().instrument()
    app = create_app(*arguments, **keys)
    FlaskInstrumentor().instrument_app(app)
    return app


def traces(spans: InMemorySpanExporter) -> list[Sequence[ReadableSpan]]:
    """The spans by their trace: in each the request, and then all that hang on it."""
    by_trace = defaultdict(list)
    for span in sorted(spans.get_finished_spans(), key=lambda span: span.start_time):
        by_trace[span.context.trace_id].append(span)
    for request, *others in by_trace.values():
        known = {span.context.span_id for span in (request, *others)}
        assert request.parent is None
        assert request.kind is SpanKind.SERVER
        assert all(span.parent.span_id in known for span in others)
        assert all(span.kind is SpanKind.CLIENT for span in others)
    return list(by_trace.values())


def statements(trace: Iterable[ReadableSpan]) -> list[str]:
    texts = (span.attributes.get("db.statement") for span in trace)
    return [one for one in texts if one is not None]


def passes(trace: Iterable[ReadableSpan]) -> int:
    return sum("pa_activation" in one for one in statements(trace))


def retail(number: int) -> dict[str, str]:
    return {"application": APPLICATIONS[number]}


def test_request_and_its_statements_are_one_trace(
    powerauth_database: Engine, spans: InMemorySpanExporter
) -> None:
    client = traced_app(powerauth_database).test_client()

    assert ask(client, parameters=retail(0)).status_code == 200
    assert ask(client, parameters=retail(0)).headers["Age"] == "0"

    cold, kept = traces(spans)
    assert cold[0].attributes["http.route"] == "/rest/v3/telemetry/report"
    assert passes(cold) == 1
    assert len(kept) == 1


def test_documented_code_traces(reader_environment: None, spans: InMemorySpanExporter) -> None:
    (example,) = (one for one in python_examples(MONITORING) if "Instrumentor" in one.parsed)
    example.namespace |= {"Flask": Flask, "PowerAuthTelemetry": PowerAuthTelemetry}
    app = evaluate(example)
    assert app is not None

    assert ask(app.test_client(), parameters={"application": "retail"}).status_code == 200

    (trace,) = traces(spans)
    assert passes(trace) == 1


def test_who_waits_has_a_trace_of_its_own(
    powerauth_database: Engine, spans: InMemorySpanExporter
) -> None:
    provider = Gated()
    app = traced_app(powerauth_database, arguments={"providers": [provider]})
    service = next(iter(app.extensions[EXTENSION_KEY].values())).service

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, app.test_client(), "GATED")
        provider.gate.wait()
        second = pool.submit(ask, app.test_client(), "GATED")
        eventually(lambda: service.waiting == 2)
        provider.gate.opened.set()
        assert {first.result(LONG).status_code, second.result(LONG).status_code} == {200}

    begun, waited = traces(spans)
    assert provider.gate.runs == 1
    assert passes(begun) == 1
    assert len(waited) == 1


def test_twelve_callers_have_twelve_traces(
    powerauth_database: Engine, spans: InMemorySpanExporter
) -> None:
    app = traced_app(powerauth_database, MAX_WAITING=0)

    with ThreadPoolExecutor(12) as pool:
        answers = pool.map(
            lambda number: ask(app.test_client(), parameters=retail(number)), range(12)
        )
        assert {answer.status_code for answer in answers} == {200}

    assert [passes(trace) for trace in traces(spans)] == [1] * 12


def test_hosts_engine_is_traced_too(
    powerauth_database: Engine, spans: InMemorySpanExporter
) -> None:
    SQLAlchemyInstrumentor().instrument()
    engine = sqlalchemy.create_engine(powerauth_database.url)
    app = traced_app(arguments={"engine": engine})

    assert ask(app.test_client(), parameters=retail(0)).status_code == 200

    (trace,) = traces(spans)
    assert passes(trace) == 1


def test_credentials_are_read_in_the_trace_of_who_asks(
    powerauth_database: Engine, spans: InMemorySpanExporter
) -> None:
    powerauth.add_integrations(powerauth_database, [powerauth.Integration("id", None, *USER)])
    app = traced_app(powerauth_database, CREDENTIALS="pa_integration")

    assert ask(app.test_client(), parameters=retail(0)).status_code == 200

    (trace,) = traces(spans)
    assert Counter("pa_integration" in one for one in statements(trace))[True] == 1
    assert passes(trace) == 1


def test_look_at_who_waits_for_a_long_pass_is_in_its_trace(
    postgresql: Engine, spans: InMemorySpanExporter
) -> None:
    create_held_database(postgresql)
    hold(postgresql, 1.5)
    app = traced_app(postgresql, TABLES=TABLES)

    assert answer_of(app).status == 200

    (trace,) = traces(spans)
    assert any("pg_locks" in one or "pg_blocking" in one for one in statements(trace))


@pytest.mark.parametrize("damage", [None, "DROP TABLE pa_activation"])
def test_no_span_holds_a_secret(
    powerauth_database: Engine, spans: InMemorySpanExporter, damage: str | None
) -> None:
    url = powerauth_database.url
    if url.get_backend_name() == "postgresql":
        url = url.set(password="pass-word")
    if damage:
        with powerauth_database.begin() as connection:
            connection.exec_driver_sql(damage)
    app = traced_app(DATABASE_URL=url)

    status = ask(app.test_client(), parameters=retail(0)).status_code
    ask(app.test_client(), parameters=retail(0), user=("billing", "pass-word"))

    assert status == (500 if damage else 200)
    told = [json.loads(span.to_json()) for span in spans.get_finished_spans()]
    assert len(told) > 2
    assert [secret for secret in SECRETS if secret in json.dumps(told)] == []
