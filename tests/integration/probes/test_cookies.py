"""Cookies of a journey: sent back as received, to whom they belong, and not more of them than a client keeps."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siteshift.adapters.probes.cookies import MAX_COOKIES, Cookies

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def after(*set_cookies: str, host: str = "shop.example", path: str = "/login") -> Cookies:
    cookies = Cookies()
    for one in set_cookies:
        cookies.take(one, host, path, NOW)
    return cookies


@pytest.mark.parametrize("value", ["abc/def==", '"quoted"', "a=b", "", "a b", "caf\xe9"])
def test_a_value_is_sent_back_as_it_was_received(value: str) -> None:
    assert after(f"sid={value}; Path=/").header("http", "shop.example", "/cart") == f"sid={value}"


@pytest.mark.parametrize(
    ("set_cookie", "scheme", "host", "path", "is_sent"),
    [
        ("a=1", "http", "shop.example", "/", True),
        ("a=1", "http", "www.shop.example", "/", False),
        ("a=1; Domain=.shop.example", "http", "www.shop.example", "/", True),
        ("a=1; Domain=shop.example", "http", "badshop.example", "/", False),
        ("a=1; Domain=other.example", "http", "shop.example", "/", False),
        ("a=1; Path=/cart", "http", "shop.example", "/cart/1", True),
        ("a=1; Path=/cart", "http", "shop.example", "/cartoon", False),
        ("a=1; secure", "http", "shop.example", "/", False),
        ("a=1; Secure", "https", "shop.example", "/", True),
        ("a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http", "shop.example", "/", True),
        ("a=1; Max-Age=0", "http", "shop.example", "/", False),
        ("a=1; Max-Age=-1", "http", "shop.example", "/", False),
        ("a=1; Max-Age=0_0", "http", "shop.example", "/", True),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http", "shop.example", "/", False),
        ("a=1; Expires=whenever", "http", "shop.example", "/", True),
        ("=1", "http", "shop.example", "/", False),
        ("alone", "http", "shop.example", "/", False),
        ("a=" + "x" * 5_000, "http", "shop.example", "/", False),
    ],
)
def test_a_cookie_goes_where_it_belongs(set_cookie: str, scheme: str, host: str, path: str, is_sent: bool) -> None:
    assert bool(after(set_cookie).header(scheme, host, path)) is is_sent


def test_a_later_cookie_replaces_an_earlier_one_and_can_take_it_away() -> None:
    assert after("a=1; Path=/", "a=2; Path=/").header("http", "shop.example", "/") == "a=2"
    assert after("a=1; Path=/", "a=; Path=/; Max-Age=0").header("http", "shop.example", "/") == ""


def test_only_so_many_are_kept() -> None:
    header = after(*(f"c{n}={n}; Path=/" for n in range(500))).header("http", "shop.example", "/")
    assert len(header.split("; ")) == MAX_COOKIES
    assert header.endswith("c499=499")


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=80))
def test_noise_is_ignored(noise: str) -> None:
    after(noise, "a=1;" + noise, "a=1; expires=" + noise, "a=1; max-age=" + noise).header("http", "shop.example", "/")
