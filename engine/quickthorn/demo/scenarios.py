"""Planted fraud: four ways in which somebody else pays with a customer's card.

Each scenario draws incidents over the whole stream and adds the fraudster's payments to what customers pay themselves.
Incidents may begin before the stream does, so that its first and last days hold as much fraud as its middle.
"""

from __future__ import annotations

import numpy as np

from quickthorn.demo.payments import (
    APP,
    CHIP,
    CONTACTLESS,
    DAY_US,
    KEYED,
    POS,
    START_US,
    STORED,
    STRIPE,
    WALLET,
    WEB,
    Payments,
    at_us,
    shops_in_city,
    to_minor,
)
from quickthorn.demo.population import CATEGORY_PRICE, Booleans, Customers, Floats, Ints, Terminals

SCENARIOS = ("genuine", "compromised_terminal", "stolen_card", "card_testing", "account_takeover")
COMPROMISED_TERMINAL, STOLEN_CARD, CARD_TESTING, ACCOUNT_TAKEOVER = range(1, 5)

FRAUD_SHARE = 0.0075
# How the fraudulent payments divide among the scenarios, in the order of SCENARIOS.
SCENARIO_SHARE = {COMPROMISED_TERMINAL: 0.28, STOLEN_CARD: 0.30, CARD_TESTING: 0.22, ACCOUNT_TAKEOVER: 0.20}


def fraudulent_payments(
    rng: np.random.Generator, customers: Customers, terminals: Terminals, genuine: Payments, days: int
) -> Payments:
    """Draw every scenario's payments that fall within the stream's `days`, about FRAUD_SHARE of all payments."""
    wanted = len(genuine) * FRAUD_SHARE / (1.0 - FRAUD_SHARE)
    terminal_rng, stolen_rng, testing_rng, takeover_rng = rng.spawn(4)
    blocks = [
        compromised_terminals(terminal_rng, wanted * SCENARIO_SHARE[COMPROMISED_TERMINAL], terminals, genuine, days),
        stolen_cards(stolen_rng, wanted * SCENARIO_SHARE[STOLEN_CARD], customers, terminals, days),
        card_testing(testing_rng, wanted * SCENARIO_SHARE[CARD_TESTING], customers, terminals, days),
        account_takeovers(takeover_rng, wanted * SCENARIO_SHARE[ACCOUNT_TAKEOVER], customers, terminals, days),
    ]
    frauds = Payments.concatenate(blocks)
    return frauds.take((frauds.at_us >= START_US) & (frauds.at_us < START_US + days * DAY_US))


def compromised_terminals(
    rng: np.random.Generator, wanted: float, terminals: Terminals, genuine: Payments, days: int
) -> Payments:
    """A shop's terminal runs copied cards of its own customers for two to four weeks, mostly by magnetic stripe."""
    # Only shops somebody pays at can copy a card.
    order = np.argsort(genuine.terminal, kind="stable")
    payments_at = np.bincount(genuine.terminal, minlength=len(terminals.online))
    first_at = np.concatenate([[0], np.cumsum(payments_at)[:-1]])
    targets = np.flatnonzero((payments_at > 0) & ~terminals.online)
    if not len(targets):
        return _nothing()
    start_day, length_days = _incidents(rng, wanted, days, payments_each=42.0, shortest_days=14.0, longest_days=28.0)
    incident_terminal = targets[rng.integers(0, len(targets), len(start_day))]
    incident = np.repeat(np.arange(len(start_day)), rng.poisson(2.0 * length_days))
    n = len(incident)
    terminal = incident_terminal[incident]
    copied = order[first_at[terminal] + (rng.random(n) * payments_at[terminal]).astype(np.int64)]
    day = np.floor(start_day[incident] + rng.random(n) * length_days[incident])
    return Payments(
        at_us=at_us(day, rng.normal(15.0, 3.5, n) % 24.0),
        customer=genuine.customer[copied],
        terminal=terminal,
        amount_minor=to_minor(genuine.amount_minor[copied] / 100.0 * rng.uniform(1.5, 4.0, n)),
        channel=np.full(n, POS),
        entry=rng.choice([STRIPE, CHIP, CONTACTLESS], n, p=[0.8, 0.1, 0.1]),
        device_new=np.zeros(n, dtype=np.bool_),
        scenario=np.full(n, COMPROMISED_TERMINAL),
    )


def stolen_cards(
    rng: np.random.Generator, wanted: float, customers: Customers, terminals: Terminals, days: int
) -> Payments:
    """For one to five days a stolen card pays several times the usual amount, far from home or at foreign merchants."""
    start_day, length_days = _incidents(rng, wanted, days, payments_each=7.0, shortest_days=1.0, longest_days=5.0)
    victim = rng.integers(0, len(customers.city), len(start_day))
    reachable = np.unique(terminals.city[terminals.shops])
    # The thief stays in one city: another than home, unless there is no other. Online they like merchants abroad.
    thief_city = reachable[rng.integers(0, len(reachable), len(start_day))]
    next_city = reachable[(np.searchsorted(reachable, thief_city) + 1) % len(reachable)]
    thief_city = np.where(thief_city == customers.city[victim], next_city, thief_city)
    incident = np.repeat(np.arange(len(start_day)), rng.integers(4, 11, len(start_day)))
    n = len(incident)
    customer = victim[incident]
    online = rng.random(n) < 0.25
    terminal = np.where(
        online,
        _merchants(rng, terminals, n, wanted=terminals.country != 0),
        shops_in_city(rng, terminals, thief_city[incident]),
    )
    day = np.floor(start_day[incident] + rng.random(n) * length_days[incident])
    amount = customers.usual_amount[customer] * CATEGORY_PRICE[terminals.category[terminal]]
    return Payments(
        at_us=at_us(day, rng.normal(16.0, 4.5, n) % 24.0),
        customer=customer,
        terminal=terminal,
        amount_minor=to_minor(amount * rng.uniform(2.0, 7.0, n)),
        channel=np.where(online, WEB, POS),
        entry=np.where(online, KEYED, rng.choice([CONTACTLESS, STRIPE, CHIP], n, p=[0.6, 0.3, 0.1])),
        device_new=online & (rng.random(n) < 0.5),
        scenario=np.full(n, STOLEN_CARD),
    )


def card_testing(
    rng: np.random.Generator, wanted: float, customers: Customers, terminals: Terminals, days: int
) -> Payments:
    """Bursts of tiny card-not-present payments within minutes: one card time after time, or many at one merchant."""
    start_day, _ = _incidents(rng, wanted, days, payments_each=14.0, shortest_days=0.0, longest_days=0.0)
    bursts = len(start_day)
    one_card = rng.random(bursts) < 0.5
    burst_customer = rng.integers(0, len(customers.city), bursts)
    burst_merchant = _merchants(rng, terminals, bursts)
    minutes = rng.uniform(3.0, 12.0, bursts)
    incident = np.repeat(np.arange(bursts), rng.integers(8, 21, bursts))
    n = len(incident)
    many_customers = rng.integers(0, len(customers.city), n)
    hour = (start_day % 1.0 * 24.0)[incident] + rng.random(n) * minutes[incident] / 60.0
    return Payments(
        at_us=at_us(np.floor(start_day)[incident], hour),
        customer=np.where(one_card[incident], burst_customer[incident], many_customers),
        terminal=burst_merchant[incident],
        amount_minor=to_minor(rng.uniform(0.5, 2.5, n)),
        channel=np.full(n, WEB),
        entry=rng.choice([KEYED, STORED], n, p=[0.9, 0.1]),
        device_new=rng.random(n) < 0.7,
        scenario=np.full(n, CARD_TESTING),
    )


def account_takeovers(
    rng: np.random.Generator, wanted: float, customers: Customers, terminals: Terminals, days: int
) -> Payments:
    """In one night somebody signs in on a new device and buys goods that are dear and easy to sell."""
    start_day, _ = _incidents(rng, wanted, days, payments_each=3.0, shortest_days=0.0, longest_days=0.0)
    victim = rng.integers(0, len(customers.city), len(start_day))
    first_hour = rng.uniform(0.0, 4.0, len(start_day))
    incident = np.repeat(np.arange(len(start_day)), rng.integers(1, 6, len(start_day)))
    n = len(incident)
    customer = victim[incident]
    dear = CATEGORY_PRICE[terminals.category] >= 1.5
    terminal = _merchants(rng, terminals, n, wanted=dear)
    amount = customers.usual_amount[customer] * CATEGORY_PRICE[terminals.category[terminal]]
    return Payments(
        at_us=at_us(np.floor(start_day)[incident], first_hour[incident] + rng.exponential(0.4, n)),
        customer=customer,
        terminal=terminal,
        amount_minor=to_minor(amount * rng.uniform(2.5, 8.0, n)),
        channel=rng.choice([APP, WEB], n, p=[0.6, 0.4]),
        entry=rng.choice([STORED, WALLET], n, p=[0.8, 0.2]),
        device_new=rng.random(n) < 0.9,
        scenario=np.full(n, ACCOUNT_TAKEOVER),
    )


def _incidents(
    rng: np.random.Generator,
    wanted: float,
    days: int,
    *,
    payments_each: float,
    shortest_days: float,
    longest_days: float,
) -> tuple[Floats, Floats]:
    """When incidents begin (days since the stream began, possibly before it) and how long each lasts, in days.

    As many are drawn as bring about `wanted` payments inside the stream when each brings `payments_each`.
    """
    inside = wanted / payments_each
    number = round(inside * (days + longest_days) / days)
    return rng.uniform(-longest_days, days, number), rng.uniform(shortest_days, longest_days, number)


def _merchants(rng: np.random.Generator, terminals: Terminals, n: int, *, wanted: Booleans | None = None) -> Ints:
    """Draw `n` online merchants, of those `wanted` (a mask over all terminals) where there are any."""
    merchants = terminals.merchants
    if wanted is not None and wanted[merchants].any():
        merchants = merchants[wanted[merchants]]
    return merchants[rng.integers(0, len(merchants), n)]


def _nothing() -> Payments:
    empty = np.zeros(0, dtype=np.int64)
    return Payments(empty, empty, empty, empty, empty, empty, np.zeros(0, dtype=np.bool_), empty)
