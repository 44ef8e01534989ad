"""A Flask application that serves JSON and a page to several clients at once, over loopback."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any

_CLIENTS = 8
_REQUESTS = 100


def run(places: list[str]) -> object:
    from flask import Flask, jsonify, render_template_string, request
    from werkzeug.serving import make_server

    app = Flask("shop")
    orders: dict[str, list[dict[str, Any]]] = {}

    @app.post("/orders/<customer>")
    def order(customer: str) -> Any:
        orders.setdefault(customer, []).append(request.get_json())
        return jsonify(orders=len(orders[customer]))

    @app.get("/orders/<customer>")
    def listing(customer: str) -> str:
        page = "<h1>{{ name }}</h1>{% for each in orders %}<li>{{ each.item }}: {{ each.price }}</li>{% endfor %}"
        return render_template_string(page, name=customer, orders=orders.get(customer, []))

    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.log = lambda *_: None  # type: ignore[method-assign]
    _silence()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clients = [threading.Thread(target=_ask, args=(server.port, number)) for number in range(_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return server, orders


def _silence() -> None:
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)


def _ask(port: int, number: int) -> None:
    for turn in range(_REQUESTS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body = json.dumps({"item": f"item {turn}", "price": turn * 1.5, "note": "n" * 200})
        if turn % 2:
            connection.request("GET", f"/orders/customer{number}")
        else:
            connection.request("POST", f"/orders/customer{number}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        connection.close()
