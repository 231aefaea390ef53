"""A small order service: three workers take orders off a queue, price them and render receipts, for ever.

Known: `handle` calls `parse`, `total` and `render` once for each order, and `total` calls `tax_percent` once for each
item. That one is slow: it goes through the whole table each time. Orders are random, so that two runs differ in their
counts. Four times a second a line says how many orders are done.
"""

import json
import queue
import random
import sys
import threading
import time

WORKERS = 3
PAUSE_S = 0.004
LINE_INTERVAL_S = 0.25
MOST_ITEMS = 12
CHANCE = random.Random()  # noqa: S311 -- orders, not secrets

COUNTRIES = [first + second for first in "ABCDEFG" for second in "KLMNRST"]
TAX_TABLE = [(country, 5 + index % 21) for index, country in enumerate(COUNTRIES)]


def parse(text):
    """Reads one order."""
    order = json.loads(text)
    if not order["items"]:
        raise ValueError("an order of nothing")
    return order


def tax_percent(country):
    """Looks up a country, without an end at the first match."""
    found = None
    for code, percent in TAX_TABLE:
        if code.lower() == country.lower():
            found = percent
    return found


def total(order):
    """What an order costs with tax, in cents."""
    return sum(item["cents"] * (100 + tax_percent(item["country"])) // 100 for item in order["items"])


def render(order, cents):
    """The receipt."""
    lines = [f"order {order['number']} of {order['customer']}"]
    lines += [f"  {item['name']:10} {item['cents'] / 100:8.2f}" for item in order["items"]]
    lines.append(f"  total      {cents / 100:8.2f}")
    return "\n".join(lines)


def handle(text):
    """One order from its text to its receipt."""
    order = parse(text)
    return render(order, total(order))


def work(orders, receipts):
    """The body of a worker."""
    while True:
        receipts.put(len(handle(orders.get())))


def random_order(number):
    """The text of an order of one to twelve items."""
    items = [
        {"name": f"item-{index}", "cents": CHANCE.randint(50, 90000), "country": CHANCE.choice(COUNTRIES)}
        for index in range(CHANCE.randint(1, MOST_ITEMS))
    ]
    return json.dumps({"number": number, "customer": f"customer-{CHANCE.randint(1, 500)}", "items": items})


def start_workers(orders, receipts):
    """Three threads that wait for orders."""
    for index in range(WORKERS):
        threading.Thread(target=work, args=(orders, receipts), name=f"worker-{index}", daemon=True).start()


def main():
    """Never returns."""
    orders, receipts = queue.SimpleQueue(), queue.SimpleQueue()
    start_workers(orders, receipts)
    taken = done = 0
    next_line = time.monotonic()
    while True:
        orders.put(random_order(taken))
        taken += 1
        while not receipts.empty():
            receipts.get()
            done += 1
        if time.monotonic() >= next_line:
            sys.stdout.write(f"{done} orders are done\n")
            sys.stdout.flush()
            next_line += LINE_INTERVAL_S
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
