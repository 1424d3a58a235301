"""Columns of PowerAuth's audit and history tables, by version, in these tests' own words."""

from collections.abc import Mapping

_NAME = "VARCHAR(255)"
_AUDIT_1_4 = {
    "id": "BIGINT NOT NULL PRIMARY KEY",
    "activation_id": "VARCHAR(37) NOT NULL",
    "activation_counter": "BIGINT DEFAULT 0 NOT NULL",
    "activation_ctr_data": _NAME,
    "activation_status": "INTEGER",
    "additional_info": _NAME,
    "data_base64": "TEXT",
    "note": _NAME,
    "signature_type": f"{_NAME} NOT NULL",
    "signature": f"{_NAME} DEFAULT '12345678-12345678' NOT NULL",
    "timestamp_created": "TIMESTAMP(6) NOT NULL",
    "valid": "BOOLEAN",
    "version": "INTEGER DEFAULT 2",
    "signature_version": _NAME,
}
_AUDIT_1_9 = _AUDIT_1_4 | {"signature_metadata": "TEXT", "signature_data_body": "TEXT"}
_AUDIT_2_2 = _AUDIT_1_9 | {
    "signature": "VARCHAR(8000) DEFAULT '12345678-12345678' NOT NULL",
    "signature_algorithm": "VARCHAR(32)",
    "signature_format": "VARCHAR(32)",
}
AUDIT_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "1.4": _AUDIT_1_4,
    "1.9": _AUDIT_1_9,
    "2.2": _AUDIT_2_2,
}
HISTORY_COLUMNS: Mapping[str, str] = {
    "id": "BIGINT NOT NULL PRIMARY KEY",
    "activation_id": "VARCHAR(37) NOT NULL",
    "activation_status": "INTEGER",
    "event_reason": _NAME,
    "external_user_id": _NAME,
    "timestamp_created": "TIMESTAMP(6) NOT NULL",
    "activation_version": "INTEGER",
}
INDEXES = (
    "pa_signature_audit_activation ON pa_signature_audit (activation_id)",
    "pa_signature_audit_created ON pa_signature_audit (timestamp_created)",
    "pa_activation_history_act ON pa_activation_history (activation_id)",
    "pa_activation_history_created ON pa_activation_history (timestamp_created)",
)
OPERATION_COLUMNS: Mapping[str, str] = {
    "id": "VARCHAR(37) NOT NULL PRIMARY KEY",
    "user_id": _NAME,
    "template_name": _NAME,
    "data": "TEXT NOT NULL",
    "parameters": "TEXT",
    "additional_data": "TEXT",
    "status": "INTEGER NOT NULL",
    "timestamp_created": "TIMESTAMP(6) NOT NULL",
    "timestamp_finalized": "TIMESTAMP(6)",
}
OPERATION_APPLICATION_COLUMNS: Mapping[str, str] = {
    "application_id": "BIGINT NOT NULL",
    "operation_id": "VARCHAR(37) NOT NULL",
}
