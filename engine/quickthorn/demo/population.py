"""Who pays and where: customers, terminals and the map they live on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

COUNTRIES = ("DE", "FR", "NL", "PL", "ES", "IT", "GB")
CATEGORIES = ("grocery", "fuel", "restaurant", "transit", "fashion", "electronics", "travel", "digital")

# A made-up map in kilometres: (index into COUNTRIES, x, y, share of the population). Half the cities are in one
# country, so that most payments are domestic and a foreign one means something.
CITIES = (
    (0, 620.0, 980.0, 0.20),
    (0, 450.0, 760.0, 0.14),
    (0, 700.0, 640.0, 0.12),
    (0, 380.0, 960.0, 0.10),
    (0, 560.0, 830.0, 0.08),
    (0, 800.0, 860.0, 0.06),
    (1, 60.0, 560.0, 0.08),
    (2, 240.0, 930.0, 0.06),
    (3, 1180.0, 960.0, 0.06),
    (4, -620.0, -120.0, 0.04),
    (5, 780.0, 60.0, 0.03),
    (6, -180.0, 940.0, 0.03),
)
CITY_RADIUS_KM = 7.0

# How much a payment of each category costs against what the customer usually spends, and how common the category is
# among terminals in shops and among online merchants.
CATEGORY_PRICE = np.array([1.0, 1.5, 0.8, 0.2, 1.6, 3.5, 5.0, 0.4])
SHOP_CATEGORY_SHARE = np.array([0.34, 0.12, 0.24, 0.10, 0.13, 0.07, 0.0, 0.0])
ONLINE_CATEGORY_SHARE = np.array([0.10, 0.0, 0.08, 0.05, 0.24, 0.18, 0.12, 0.23])

ONLINE_TERMINAL_SHARE = 0.25
FAVOURITE_SHOPS = 12
FAVOURITE_MERCHANTS = 6
MEAN_PAYMENTS_PER_DAY = 1.9

# Distances are computed for blocks of customers, so that the customers x shops matrix never exceeds this many cells.
DISTANCE_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True)
class Terminals:
    """Points of sale. Shops have a city and a position; online merchants have a country only.

    All arrays have shape (terminals,). `city` is -1 and the position NaN for online merchants.
    """

    online: Booleans
    city: Ints
    country: Ints
    x_km: Floats
    y_km: Floats
    category: Ints
    popularity: Floats

    @property
    def shops(self) -> Ints:
        """Indices of the terminals that stand in a shop."""
        return np.flatnonzero(~self.online)

    @property
    def merchants(self) -> Ints:
        """Indices of the online merchants."""
        return np.flatnonzero(self.online)


@dataclass(frozen=True)
class Customers:
    """Card holders and their habits. Arrays have shape (customers,) unless stated.

    `usual_amount` is in major units, `peak_hour` and `hour_spread` in hours of the day (UTC), `payments_per_day` a
    Poisson rate. `shops` and `merchants` have shape (customers, favourites) and hold terminal indices; the two `_odds`
    arrays have the same shape and hold the cumulative probability of each favourite.
    """

    city: Ints
    country: Ints
    x_km: Floats
    y_km: Floats
    usual_amount: Floats
    payments_per_day: Floats
    peak_hour: Floats
    hour_spread: Floats
    online_share: Floats
    app_share: Floats
    shops: Ints
    shop_odds: Floats
    merchants: Ints
    merchant_odds: Floats


def draw_terminals(rng: np.random.Generator, number: int) -> Terminals:
    """Draw `number` (at least 2) terminals, of which at least one is a shop and one an online merchant."""
    online_number = min(max(round(number * ONLINE_TERMINAL_SHARE), 1), number - 1)
    shop_number = number - online_number
    online = np.zeros(number, dtype=np.bool_)
    online[rng.permutation(number)[:online_number]] = True
    country_of_city, city_x, city_y, share = (np.array(column) for column in zip(*CITIES, strict=True))

    # One shop in every city first, as far as they reach: a traveller must find one where they arrive.
    shop_city = np.concatenate(
        [np.arange(min(shop_number, len(CITIES))), rng.choice(len(CITIES), max(shop_number - len(CITIES), 0), p=share)]
    )
    city = np.full(number, -1, dtype=np.int64)
    city[~online] = shop_city
    country = rng.choice(country_of_city, number, p=share)
    country[~online] = country_of_city[shop_city]
    x_km = np.full(number, np.nan)
    y_km = np.full(number, np.nan)
    x_km[~online] = city_x[shop_city] + rng.normal(0.0, CITY_RADIUS_KM, shop_number)
    y_km[~online] = city_y[shop_city] + rng.normal(0.0, CITY_RADIUS_KM, shop_number)
    category = np.empty(number, dtype=np.int64)
    category[~online] = rng.choice(len(CATEGORIES), shop_number, p=SHOP_CATEGORY_SHARE)
    category[online] = rng.choice(len(CATEGORIES), online_number, p=ONLINE_CATEGORY_SHARE)
    popularity = rng.lognormal(0.0, 0.8, number)
    return Terminals(online, city, country.astype(np.int64), x_km, y_km, category, popularity)


def draw_customers(rng: np.random.Generator, number: int, terminals: Terminals) -> Customers:
    """Draw `number` customers who live in cities that have a shop, with the terminals each one keeps going back to."""
    country_of_city, city_x, city_y, share = (np.array(column) for column in zip(*CITIES, strict=True))
    cities_with_shops = np.unique(terminals.city[terminals.shops])
    odds = share[cities_with_shops]
    city = rng.choice(cities_with_shops, number, p=odds / odds.sum())
    x_km = city_x[city] + rng.normal(0.0, CITY_RADIUS_KM, number)
    y_km = city_y[city] + rng.normal(0.0, CITY_RADIUS_KM, number)
    shops, shop_odds = _nearest_shops(x_km, y_km, terminals)
    merchants, merchant_odds = _usual_merchants(rng, number, terminals)
    return Customers(
        city=city,
        country=country_of_city[city].astype(np.int64),
        x_km=x_km,
        y_km=y_km,
        usual_amount=rng.lognormal(np.log(28.0), 0.5, number),
        # A gamma spread: most pay about once or twice a day, some hardly ever, a few all the time.
        payments_per_day=rng.gamma(3.0, MEAN_PAYMENTS_PER_DAY / 3.0, number),
        peak_hour=rng.normal(14.5, 2.5, number),
        hour_spread=rng.uniform(2.0, 4.0, number),
        online_share=rng.beta(2.0, 5.0, number),
        app_share=rng.beta(2.0, 2.0, number),
        shops=shops,
        shop_odds=shop_odds,
        merchants=merchants,
        merchant_odds=merchant_odds,
    )


def pick_by_odds(rng: np.random.Generator, odds: Floats) -> Ints:
    """For each row of cumulative `odds`, shape (n, choices), draw the index of one choice; shape (n,)."""
    drawn = rng.random(len(odds))[:, None]
    chosen: Ints = np.minimum((drawn >= odds).sum(axis=1), odds.shape[1] - 1)
    return chosen


def _nearest_shops(x_km: Floats, y_km: Floats, terminals: Terminals) -> tuple[Ints, Floats]:
    shops = terminals.shops
    favourites = min(FAVOURITE_SHOPS, len(shops))
    block = max(DISTANCE_BLOCK_CELLS // len(shops), 1)
    chosen = np.empty((len(x_km), favourites), dtype=np.int64)
    cumulative = np.empty((len(x_km), favourites))
    for start in range(0, len(x_km), block):
        rows = slice(start, start + block)
        distance_km = np.hypot(
            x_km[rows, None] - terminals.x_km[shops][None, :], y_km[rows, None] - terminals.y_km[shops][None, :]
        )
        nearest = np.argpartition(distance_km, favourites - 1, axis=1)[:, :favourites]
        near_km = np.take_along_axis(distance_km, nearest, axis=1)
        # Nearer and more popular shops are visited more. The nearest one is the yardstick, so that a customer who lives
        # far from every shop still has weights well above zero.
        weight = terminals.popularity[shops][nearest] * np.exp(-(near_km - near_km.min(axis=1, keepdims=True)) / 4.0)
        chosen[rows] = shops[nearest]
        cumulative[rows] = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
    return chosen, cumulative


def _usual_merchants(rng: np.random.Generator, number: int, terminals: Terminals) -> tuple[Ints, Floats]:
    merchants = terminals.merchants
    popularity = terminals.popularity[merchants]
    # Drawn with replacement: a merchant drawn twice is simply a stronger habit.
    chosen = merchants[rng.choice(len(merchants), (number, FAVOURITE_MERCHANTS), p=popularity / popularity.sum())]
    weight = rng.gamma(1.0, 1.0, chosen.shape) + 1e-9
    return chosen, np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
