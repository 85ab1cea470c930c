"""The grammar of numbers and tokens from outside: what Python would read and a protocol must not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters import wire

NO_DECIMAL = ["", " ", "-1", "+1", "1_0", " 1", "1 ", "1\n", "0x1", "1.0", "1e3", "٣", "²", "१२", "１", "9" * 21, "1,1", "\0"]


@pytest.mark.parametrize("text", NO_DECIMAL)
def test_what_is_no_decimal_number_is_refused(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(wire.BadWire):
            wire.decimal(form)


@given(st.integers(0, 2**64 - 1))
def test_decimal_numbers_are_read_from_text_and_bytes(number: int) -> None:
    assert wire.decimal(str(number)) == wire.decimal(b"%d" % number) == number
    assert wire.signed_decimal(f"-{number}") == -number


@given(st.text(max_size=30) | st.binary(max_size=30))
def test_nothing_but_bad_wire_is_raised(text: str | bytes) -> None:
    for read in (wire.decimal, wire.signed_decimal, wire.hexadecimal, wire.real, wire.status_code, wire.token, wire.field_value):
        try:
            read(text)
        except wire.BadWire as problem:
            assert len(str(problem)) < 300


def test_a_number_has_bounds_in_digits_and_in_value() -> None:
    assert wire.decimal("0042", digits=4) == 42
    with pytest.raises(wire.BadWire):
        wire.decimal("00042", digits=4)
    assert wire.decimal("4294967295", most=2**32 - 1) == 2**32 - 1
    with pytest.raises(wire.BadWire, match="above 4294967295"):
        wire.decimal("4294967296", most=2**32 - 1)


@pytest.mark.parametrize("text", ["--1", "+1", "-", "", "- 1", "-1_0", "-٣"])
def test_a_sign_is_one_minus_or_none(text: str) -> None:
    with pytest.raises(wire.BadWire):
        wire.signed_decimal(text)


@pytest.mark.parametrize("text", ["", "-6", "+2", "0_2", "-1", "0x1", " 1", "1 ", "g", "1" * 17, "٣", "\uff11"])
def test_what_is_no_hexadecimal_number_is_refused(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(wire.BadWire):
            wire.hexadecimal(form)


def test_hexadecimal_numbers_are_read_in_either_case() -> None:
    assert wire.hexadecimal("fF") == wire.hexadecimal(b"0Ff") == 255
    assert wire.hexadecimal("f" * 16) == 2**64 - 1


@pytest.mark.parametrize(
    "text", ["", "1_0", " 1", "1 ", "0x1p3", "1e", ".", "e5", "infinit", "nan(1)", "+-1", "1" * 65, "٣.0", "1e999999"]
)
def test_what_is_no_real_number_is_refused(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(wire.BadWire):
            wire.real(form)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1.0), ("-0.5", -0.5), (".5", 0.5), ("5.", 5.0), ("+1.5e+3", 1500.0), ("1E-2", 0.01)]
)
def test_real_numbers_are_read(text: str, value: float) -> None:
    assert wire.real(text) == wire.real(text.encode()) == value


def test_not_a_number_and_infinity_are_words_of_the_format_and_said_as_such() -> None:
    assert math.isnan(wire.real("NaN"))
    assert wire.real("+Inf") == wire.real("infinity") == math.inf
    assert wire.real("-inf") == -math.inf


@pytest.mark.parametrize("text", ["-20", "2000", "+20", "20", "099", "600", "2 0", "٢٠٠", "2_0", "20\n"])
def test_what_is_no_status_is_refused(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(wire.BadWire):
            wire.status_code(form)
    assert wire.status_code(b"200") == wire.status_code("200") == 200


@pytest.mark.parametrize("text", ["", "a b", "a:", "a\n", "Ä", "a" * 257, "\x00", "(a)"])
def test_what_is_no_token_is_refused(text: str) -> None:
    for form in (text, text.encode()):
        with pytest.raises(wire.BadWire):
            wire.token(form)
    assert wire.field_name(b"Content-Type") == "content-type"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "a\x7fb"])
def test_a_field_value_has_no_control_characters(text: str) -> None:
    with pytest.raises(wire.BadWire):
        wire.field_value(text)
    assert wire.field_value(b" \ta b\xe4 ") == "a bä"
