FROM python:3.13-slim AS build
WORKDIR /source
COPY setup.py pyproject.toml README.md LICENSE ./
COPY flask_powerauth_telemetry flask_powerauth_telemetry
RUN python -m venv /opt/telemetry \
    && /opt/telemetry/bin/pip install --no-cache-dir --disable-pip-version-check \
        '.[postgresql,example,openapi,gunicorn]'

FROM python:3.13-slim
COPY --from=build /opt/telemetry /opt/telemetry
WORKDIR /srv/telemetry
COPY example_app example_app
ENV PATH=/opt/telemetry/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FLASK_APP=example_app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["gunicorn", "--workers=2", "--threads=8", "--timeout=60", "--worker-tmp-dir=/dev/shm", "--bind=0.0.0.0:8000", "example_app:create_app()"]
