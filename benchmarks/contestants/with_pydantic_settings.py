"""Read with pydantic-settings."""

from __future__ import annotations

from typing import Annotated
from typing import Any

from pydantic import BeforeValidator
from pydantic import Field
from pydantic import create_model
from pydantic_settings import BaseSettings
from pydantic_settings import NoDecode
from pydantic_settings import SettingsConfigDict

from benchmarks.contestants.assembly import READ
from benchmarks.contestants.assembly import assembled


class _Base(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, str_strip_whitespace=True)


def _names(text: Any) -> Any:
    return text.split(",") if isinstance(text, str) else text


Names = Annotated[list[str], NoDecode, BeforeValidator(_names)]
FIELDS: dict[str, Any] = {
    field: (
        Names if type_ is list else type_,
        Field(default, validation_alias=variable),
    )
    for field, variable, type_, default in READ
}
Values = create_model("Values", __base__=_Base, **FIELDS)


def configure(namespace: dict[str, Any]) -> None:
    """Read, assemble, assign."""
    values = Values().model_dump()
    namespace.update(assembled(namespace, values))
