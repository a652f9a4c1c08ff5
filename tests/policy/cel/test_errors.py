"""What is said about expressions that cannot be used, and where it points."""

from __future__ import annotations

import pytest

from webhook.policy.cel import CelCompileError, Environment, Returns


def _error(expression: str, returns: Returns = "bool") -> CelCompileError:
    with pytest.raises(CelCompileError) as caught:
        Environment().compile(expression, returns)
    return caught.value


@pytest.mark.parametrize(
    ("expression", "message", "line", "column"),
    [
        ("", "the expression is empty", 1, 1),
        ("  \n ", "the expression is empty", 1, 1),
        ("objct.spec", "undeclared reference to 'objct'; did you mean 'object'?", 1, 1),
        ("oldobject == null", "undeclared reference to 'oldobject'; did you mean 'oldObject'?", 1, 1),
        ("True", "undeclared reference to 'True'; did you mean 'true'?", 1, 1),
        ("frobnicate == 1", "undeclared reference to 'frobnicate'", 1, 1),
        ("[1].al(x, x > 0)", "undeclared reference to function 'al'; did you mean 'all'?", 1, 5),
        (
            "object.name.startswith('x')",
            "undeclared reference to function 'startswith'; did you mean 'startsWith'?",
            1,
            13,
        ),
        (
            "quantty('1') == quantity('1')",
            "undeclared reference to function 'quantty'; did you mean 'quantity'?",
            1,
            1,
        ),
        (
            "sets.contain([1], [1])",
            "undeclared reference to function 'sets.contain'; did you mean 'sets.contains'?",
            1,
            1,
        ),
        ("quantity('1').sign() == 1", "sign() is called as sign(x)", 1, 15),
        ("isInteger(quantity('1'))", "isInteger() is called as x.isInteger()", 1, 1),
        ("object.a.b.frobnicate()", "undeclared reference to function 'frobnicate'", 1, 12),
        ("1 + 'a' == 2", "found no matching overload for '_+_' applied to '(int, string)'", 1, 3),
        (
            "object.a &&\n  1 + 'a' == 2",
            "found no matching overload for '_+_' applied to '(int, string)'",
            2,
            5,
        ),
        ("'é' == 'x' && nope", "undeclared reference to 'nope'", 1, 15),
        ("size(object)", "must evaluate to bool but got int", 1, 1),
        ("object.a ==", "syntax error: the expression ends too early", 1, 12),
        ("object.a = 1", "syntax error: unexpected '='; write ==", 1, 10),
        ("true and false", "syntax error: unexpected 'and'; write &&", 1, 6),
        ("true or false", "syntax error: unexpected 'or'; write ||", 1, 6),
        ("object.name == 'x", "syntax error: a string is not closed", 1, 16),
        (
            "request.operaton == 'CREATE'",
            "undefined field in kubernetes.AdmissionRequest: 'operaton'; did you mean 'operation'?",
            1,
            8,
        ),
        (
            "has(request.userInfo.name)",
            "undefined field in kubernetes.UserInfo: 'name'; did you mean 'username'?",
            1,
            4,
        ),
        (
            "request.?operaton.orValue('') == ''",
            "undefined field in kubernetes.AdmissionRequest: 'operaton'; did you mean 'operation'?",
            1,
            8,
        ),
        (
            "namespaceObject.metadata.label.x == ''",
            "undefined field in kubernetes.NamespaceMetadata: 'label'; did you mean 'labels'?",
            1,
            25,
        ),
        (
            "request.kind == 'Pod'",
            "found no matching overload for '_==_' applied to '(kubernetes.GroupVersionKind, string)'",
            1,
            14,
        ),
        ("request.name + 1 == ''", "found no matching overload for '_+_' applied to '(string, int)'", 1, 14),
        (
            "request.operation == 'x' &&\n request.name.foo() && request.dryRun == 1",
            "undeclared reference to function 'foo'",
            2,
            15,
        ),
        (
            "request.operation == 'x' &&\n request.dryRun == 1",
            "found no matching overload for '_==_' applied to '(bool, int)'",
            2,
            17,
        ),
        (
            "request.object.metadata.name == ''",
            "undefined field in kubernetes.AdmissionRequest: 'object'",
            1,
            8,
        ),
        (
            "authorizer.group('').check('x').allowed()",
            "authorizer is not available: permissions can only be asked of the API server; see request.userInfo",
            1,
            1,
        ),
        (
            "Object{spec: Object.spec{replicas: 1}} == null",
            "Object{...} and JSONPatch{...} are for mutations only",
            1,
            1,
        ),
        ("'a'.matches('(')", "invalid regular expression: missing ): (", 1, 13),
        ("'a'.find(')') == ''", "invalid regular expression: unexpected ): )", 1, 10),
        (
            "quantity('1GB') == quantity('1')",
            "'1GB' is not a quantity; write a number with a unit, such as 500m, 2 or 4Gi",
            1,
            9,
        ),
        ("duration('1d') == duration('24h')", "not a duration; write it as 36h or 1m30s", 1, 9),
        ("[1, 'a'] == []", "expected type 'int' but found 'string'", 1, 5),
        ("{'a': 1, 'b': ''} == {}", "expected type 'int' but found 'string'", 1, 15),
        (
            "'%s %s'.format(['a']) == ''",
            "too few arguments supplied to string.format (expected 2, got 1)",
            1,
            16,
        ),
        (
            "'%s'.format(['a', 1]) == ''",
            "too many arguments supplied to string.format (expected 1, got 2)",
            1,
            13,
        ),
        ("'%d'.format(['a']) == ''", "error during formatting: %d cannot be used on a string", 1, 14),
        (
            "'%q'.format(['a']) == ''",
            'could not parse formatting clause: unrecognized formatting clause "q"',
            1,
            12,
        ),
        (
            "{'a': 1}.transformMap(k, v, v) == {}",
            "transformMap() and transformMapEntry() are not supported: the library cannot run them",
            1,
            22,
        ),
        (
            "dyn(quantity('1')) == 1",
            "a kubernetes.Quantity cannot be mixed with dyn values; convert both sides to kubernetes.Quantity",
            1,
            4,
        ),
        (
            "object.?q.orValue(ip('::1')) == ip('::1')",
            "a net.IP cannot be mixed with dyn values; convert both sides to net.IP",
            1,
            18,
        ),
        (
            "quantity('1') in [quantity('1')]",
            "lists and maps of kubernetes.Quantity cannot be compared; compare their elements",
            1,
            15,
        ),
        ("type(ip('::1')) == string", "type() of a net.IP is not supported", 1, 5),
        ("type(object.x) == kubernetes.Quantity", "the names of Kubernetes' types are not supported", 1, 19),
        ("'a\\x00b' == ''", "a string that contains NUL is not supported", 1, 1),
        ("gpuward_type_0 == 1 && request.name == ''", "undeclared reference to 'gpuward_type_0'", 1, 1),
        ("a0 == 1", "undeclared reference to 'a0'", 1, 1),
        ("fail('x')", "undeclared reference to function 'fail'; did you mean 'family'?", 1, 1),
        ("timestamp('now') == timestamp('then')", "not a time; write it as 2006-01-02T15:04:05Z", 1, 10),
        ("variables.x == 1", "undefined variable 'x'; no variables are defined", 1, 10),
        ("variables == 1", "variables cannot be used as a whole; write variables.NAME", 1, 1),
    ],
)
def test_a_mistake_is_named_where_it_is(expression: str, message: str, line: int, column: int) -> None:
    error = _error(expression)
    assert (error.message, error.line, error.column) == (message, line, column)


@pytest.mark.parametrize(
    ("expression", "returns", "message"),
    [
        ("object.x", "bool", None),
        ("object.x", "string", None),
        ("1 == 1", "string", "must evaluate to string but got bool"),
        ("'a'", "bool", "must evaluate to bool but got string"),
        ("[1]", "bool", "must evaluate to bool but got list(int)"),
        ("optional.of(true)", "bool", "must evaluate to bool but got optional_type(bool)"),
        ("request.name", "bool", "must evaluate to bool but got string"),
        ("request.dryRun", "bool", None),
        ("{'a': [1, 2]}", "any", None),
        ("{1: 2}", "any", "must evaluate to a JSON value but got map(int, int)"),
        ("quantity('1')", "any", "must evaluate to a JSON value but got kubernetes.Quantity"),
        ("request.kind", "any", "must evaluate to a JSON value but got kubernetes.GroupVersionKind"),
        ("duration('1s')", "any", "must evaluate to a JSON value but got duration; convert it with string()"),
        ("b'a'", "any", "must evaluate to a JSON value but got bytes; convert it with string()"),
        (
            "object.?x",
            "any",
            "must evaluate to a JSON value but got optional_type(dyn); give its alternative with orValue()",
        ),
        ("[object.?x]", "any", "must evaluate to a JSON value but got list(optional_type(dyn))"),
    ],
)
def test_the_type_of_the_result_is_checked_at_load(
    expression: str, returns: Returns, message: str | None
) -> None:
    if message is None:
        Environment().compile(expression, returns)
    else:
        assert _error(expression, returns).message == message


def test_the_error_shows_the_line_with_a_caret() -> None:
    error = _error("object.spec.hostNetwork == false &&\n\tobjct.spec.hostPID == false")
    assert str(error) == (
        "undeclared reference to 'objct'; did you mean 'object'?\n2 | \tobjct.spec.hostPID == false\n  | \t^"
    )


def test_an_error_without_a_line_shows_its_message_alone() -> None:
    assert str(_error("")) == "the expression is empty"
