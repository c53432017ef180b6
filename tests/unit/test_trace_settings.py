"""The variables of OpenTelemetry: what has no sense is named by its variable, and no value is told."""

import pytest

from holdfast import trace_settings
from holdfast.trace_settings import unusable, wrong_variable

SECRET = "planted"
WRONG = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:port"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:99999"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a collector:4318"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "inf"),
    ("OTEL_EXPORTER_OTLP_HEADERS", SECRET),
    ("OTEL_EXPORTER_OTLP_HEADERS", f"a=b,{SECRET}"),
    ("OTEL_EXPORTER_OTLP_HEADERS", f"a b={SECRET}"),
    ("OTEL_EXPORTER_OTLP_HEADERS", f"a={SECRET}%0Ab"),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", f"authorization={SECRET}ü"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file"),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/no/such/file"),
    ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
    ("OTEL_BSP_SCHEDULE_DELAY", "0"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100000"),
    ("OTEL_BSP_EXPORT_TIMEOUT", "1.5"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "-1"),
    ("OTEL_TRACES_SAMPLER", "sometimes"),
]


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in [name for name in trace_settings.os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_variable_without_sense_is_named_in_one_sentence_that_tells_no_secret(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    told = unusable()
    assert told.startswith(name + " ")
    assert told.count("\n") == 0
    assert SECRET not in told


def test_a_sampler_by_share_needs_the_share():
    for argument in ("", "2", "often", "nan"):
        given = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": argument}
        assert wrong_variable(given).startswith("OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1")


def test_what_the_sdk_would_only_warn_of_is_told_too(monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "no-value")
    assert unusable().startswith("The SDK of OpenTelemetry can't be used with the variables OTEL_* that are set: ")


def test_what_makes_sense_is_taken_and_empty_variables_are_not_set(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").write_text("")
    good = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://[::1]:4318/otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20YTpi, x-scope = a b",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "GZIP",
        "OTEL_EXPORTER_OTLP_CERTIFICATE": str(tmp_path / "ca.pem"),
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "OTEL_BSP_SCHEDULE_DELAY": " 50 ",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "OTEL_SERVICE_NAME": "",
        "OTEL_BSP_EXPORT_TIMEOUT": "",
    }
    for name, value in good.items():
        monkeypatch.setenv(name, value)
    assert unusable() is None
    assert "OTEL_SERVICE_NAME" not in trace_settings.os.environ
    assert "OTEL_BSP_EXPORT_TIMEOUT" not in trace_settings.os.environ
