"""PowerAuth's tables that the made-up population fills, with the indexes that PowerAuth has."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

application = Table(
    "pa_application",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(255), nullable=False),
    Index("pa_application_name", "name", unique=True),
)
activation = Table(
    "pa_activation",
    metadata,
    Column("activation_id", String(37), primary_key=True),
    Column("application_id", ForeignKey("pa_application.id"), nullable=False),
    Column("user_id", String(255), nullable=False),
    Column("activation_status", Integer, nullable=False),
    Column("platform", String(255)),
    Column("device_info", String(255)),
    Column("flags", String(255)),
    Column("protocol", String(32)),
    Column("timestamp_created", DateTime, nullable=False),
    Column("timestamp_last_used", DateTime, nullable=False),
    Index("pa_activation_application", "application_id"),
    Index("pa_activation_user_id", "user_id"),
)
activation_history = Table(
    "pa_activation_history",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("activation_id", String(37), nullable=False),
    Column("activation_status", Integer),
    Column("timestamp_created", DateTime, nullable=False),
    Index("pa_activation_history_act", "activation_id"),
    Index("pa_activation_history_created", "timestamp_created"),
)
signature_audit = Table(
    "pa_signature_audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("activation_id", ForeignKey("pa_activation.activation_id"), nullable=False),
    Column("valid", Boolean),
    Column("signature_type", String(255), nullable=False),
    Column("signature_algorithm", String(32)),
    Column("timestamp_created", DateTime, nullable=False),
    Index("pa_signature_audit_activation", "activation_id"),
    Index("pa_signature_audit_created", "timestamp_created"),
)
