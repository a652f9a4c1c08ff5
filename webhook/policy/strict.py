"""The base of what is read from documents: parts of policies, and the parameters of rules.

A class of fields with their types, from which everything else follows: the reader of good documents (``reader``), what
is wrong with the others (``mistakes``), the JSON Schema and the CustomResourceDefinitions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import NODEFAULT, Struct, structs

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class Strict(Struct, frozen=True):
    """A map with known fields: unknown ones are errors.

    The docstrings of fields are their descriptions in the schema and in the reference. ``rename`` (msgspec's) gives a
    field another name in documents than in Python. What no type can say is checked in ``__post_init__``, which raises
    ValueError or ParameterError. ``__pydantic_config__`` can add to the JSON Schema (``json_schema_extra``).

    A Struct and no dataclass: making the class takes a fiftieth of the time, and there are many.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """How pydantic reads it, where pydantic is asked."""
        from pydantic_core import core_schema

        fields = {}
        for field in structs.fields(cls):
            schema = handler.generate_schema(field.type)
            if field.default is not NODEFAULT:
                schema = core_schema.with_default_schema(schema, default=field.default)
            elif field.default_factory is not NODEFAULT:
                default = field.default_factory()
                if not isinstance(default, Strict):  # what another class has by default is said there
                    schema = core_schema.with_default_schema(schema, default=default)
            fields[field.name] = core_schema.typed_dict_field(
                schema,
                required=field.required,
                validation_alias=field.encode_name if field.encode_name != field.name else None,
            )
        return core_schema.no_info_after_validator_function(
            lambda values: cls(**values),
            core_schema.typed_dict_schema(fields, cls=cls, extra_behavior="forbid"),
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
        )
