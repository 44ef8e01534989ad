"""The definitions found in each language's sample, with their kinds and scopes."""

from __future__ import annotations

import pytest
from sample_sources import sample

from flyweight.index.grammars import grammar
from flyweight.index.outline import outline

# What each sample defines, in order: kind and name with its scopes.
SYMBOLS = {
    "Backup.ps1": """
        function Get-BackupName, function Remove-OldBackups, class Backup, method Backup.Backup, method
        Backup.Run, enum Level
    """,
    "Bst.hs": """
        type Tree, type Depth, type Pair, class Container, method Container.empty, method Container.member,
        instance Container, method Container.empty, method Container.member, method Container.member,
        function insert, function insert, function insert, function toList, function toList, function depth,
        function depth, function <+>, function <+>
    """,
    "Cache.kt": """
        variable DEFAULT_SIZE, interface Cache, method Cache.get, method Cache.put, class Entry, enum
        Policy, class LruCache, method LruCache.constructor, method LruCache.get, method LruCache.put,
        method LruCache.empty, object Caches, method Caches.clear, function Cache.getOrPut, type StringCache
    """,
    "Counter.elm": """
        type Model, type Msg, function init, function update, function view
    """,
    "Downloader.swift": """
        protocol DownloadDelegate, method DownloadDelegate.download, enum DownloadError, property
        DownloadError.retryable, struct Progress, method Progress.advance, class Downloader, method
        Downloader.init, method Downloader.deinit, method Downloader.start, extension Downloader, method
        Downloader.subscript, method Downloader.cancel, function describe, type Handler
    """,
    "Ledger.java": """
        class Ledger, record Ledger.Entry, method Ledger.Entry.Entry, enum Ledger.Side, method
        Ledger.Side.opposite, method Ledger.Ledger, method Ledger.Ledger, method Ledger.book, method
        Ledger.balance, interface Auditor, method Auditor.audit, annotation ThreadSafe
    """,
    "Mailer.php": """
        constant RETRIES, interface Transport, method Transport.send, trait Loggable, method Loggable.log,
        class Mailer, method Mailer.__construct, method Mailer.send, method Mailer.silent, enum Status,
        function mailer
    """,
    "Panel.tsx": """
        type PanelProps, function Panel, function App, class Boundary, method Boundary.componentDidCatch,
        method Boundary.render, variable Memo
    """,
    "Parser.scala": """
        trait Expr, method Expr.eval, class Number, method Number.eval, class Add, method Add.eval, object
        Parser, type Parser.Result, method Parser.parse, method Parser.number, class Cell, method Cell.get,
        method Cell.update, enum Color, class RichExpr, method RichExpr.doubled
    """,
    "Player.m": """
        protocol PlayerDelegate, method PlayerDelegate.playerDidFinish, class Player, method
        Player.initWithURL, method Player.play, variable playing, class Player, method Player.initWithURL,
        method Player.play, method Player.shared, function PlayerName
    """,
    "Scheduler.cs": """
        namespace Example.Jobs, class Example.Jobs.Scheduler, property Example.Jobs.Scheduler.Count,
        property Example.Jobs.Scheduler.Name, method Example.Jobs.Scheduler.Scheduler, method
        Example.Jobs.Scheduler.Add, method Example.Jobs.Scheduler.Enqueue, method
        Example.Jobs.Scheduler.Dispose, interface Example.Jobs.IClock, property Example.Jobs.IClock.Now,
        method Example.Jobs.IClock.Sleep, enum Example.Jobs.Priority, record Example.Jobs.Job, struct
        Example.Jobs.Slot, method Example.Jobs.Slot.+, delegate Example.Jobs.JobHandler
    """,
    "Stack.fs": """
        record Stack, union Shape, exception EmptyStack, variable empty, function push, function area,
        module Helpers, function Helpers.twice, class Counter, method Counter.Next
    """,
    "Token.sol": """
        interface IReceiver, method IReceiver.received, class Sums, method Sums.add, class Token, struct
        Token.Grant, event Token.Sent, error Token.TooPoor, method Token.rich, method Token.constructor,
        method Token.send
    """,
    "arena.c": """
        macro ARENA_BLOCK, macro ALIGN_UP, type byte_t, struct block, type arena_t, enum arena_status,
        variable verbose, function arena_log, function arena_open, function arena_take, function arena_copy,
        function arena_hook
    """,
    "bitset.zig": """
        variable std, variable Allocator, variable word_bits, variable Error, struct BitSet, method
        BitSet.init, method BitSet.set, method BitSet.deinit, struct Order, struct Value, method
        Value.isText, function popcount, function List, test set and count
    """,
    "client.ts": """
        type Headers, interface RequestOptions, method RequestOptions.onProgress, enum Method, namespace
        agent, interface agent.Agent, class Client, method Client.constructor, method Client.send, method
        Client.get, method Client.onClose, function parse, namespace Internal, function Internal.pause,
        function retry
    """,
    "counter.ex": """
        module Example.Counter, function Example.Counter.start_link, function Example.Counter.init, function
        Example.Counter.handle_call, function Example.Counter.handle_call, function Example.Counter.clamp,
        macro Example.Counter.unless_zero, module Example.Counter.Error, protocol Example.Size, method
        Example.Size.size, impl Example.Size, method Example.Size.size
    """,
    "deploy.sh": """
        function log, function build_image, function retry, function main
    """,
    "enemy.gd": """
        class Enemy, signal died, constant SPEED, variable health, enum State, function _process, function
        hit, class Weapon, method Weapon.fire
    """,
    "heap.ml": """
        exception Empty, type heap, function rank, function merge, function make, module Queue, type
        Queue.t, function Queue.push, function Queue.pop, interface ORDERED, type ORDERED.t, method
        ORDERED.compare, class counter, method counter.incr
    """,
    "heat.f90": """
        module heat, struct heat.rod, function heat.step, function heat.total, program main
    """,
    "inbox.gleam": """
        type Letter, constant limit, function senders, function is_empty
    """,
    "inventory.py": """
        variable REORDER_LEVEL, class OutOfStock, class Item, method Item.scarce, method Item.take, class
        Warehouse, class Warehouse.Shelf, method Warehouse.Shelf.__init__, method Warehouse.__init__, method
        Warehouse.restock, function load
    """,
    "lattice.jl": """
        module Lattice, variable Lattice.DIRECTIONS, struct Lattice.Point, type Lattice.Grid, struct
        Lattice.Torus, function Lattice.neighbours, function Lattice.wrap, macro Lattice.twice, function
        Lattice.Base.show
    """,
    "ledger.clj": """
        variable limit, record Entry, protocol Book, function entries-of, function total, macro with-book,
        function render
    """,
    "limiter.go": """
        variable ErrClosed, constant DefaultRate, constant DefaultBurst, interface Clock, struct Bucket,
        type Option, function New, method Bucket.Take, method Queue.Len, struct Queue
    """,
    "network.tf": """
        variable region, resource main, module subnets, output vpc_id
    """,
    "notes.el": """
        variable notes-directory, variable notes--cache, function notes-files, macro notes-with, function
        notes-find
    """,
    "outliers.R": """
        variable default_width, function bounds, function outliers
    """,
    "pool.erl": """
        record state, macro TIMEOUT, type worker, function start_link, function take, function handle_call
    """,
    "queue.lua": """
        variable Queue, variable MAX, function Queue.new, function Queue.push, function Queue.pop, function
        length, function drain, function Queue.peek, variable api, function api.clear
    """,
    "ring.rs": """
        constant CAPACITY, enum RingError, impl RingError, method RingError.fmt, trait Sink, method
        Sink.push, method Sink.push_all, struct Ring, impl Ring, method Ring.new, method Ring.pop, impl
        Ring, method Ring.push, type ByteRing, macro ring, module tests, function tests.pops_in_order
    """,
    "router.rb": """
        module Web, class Web.Router, method Web.Router.build, method Web.Router.initialize, method
        Web.Router.default, method Web.Router.add, method Web.Router.match?, method Web.Router.pattern,
        constant Web.Error, class Web.Request, method Web.Request.[], function router
    """,
    "rules.bzl": """
        variable DEFAULT_MODE, function _pack_impl, variable pack, function pack_all
    """,
    "scale.cu": """
        variable factor, function scale, function square, struct Grid, method Grid.threads, function launch
    """,
    "schema.sql": """
        table customers, table shop.orders, index orders_by_customer, view big_orders, type order_state,
        function order_count, trigger touch_orders
    """,
    "shapes.cpp": """
        namespace geometry, variable geometry.pi, class geometry.Shape, method geometry.Shape.~Shape, method
        geometry.Shape.area, method geometry.Shape.name, method geometry.Shape.Shape, struct
        geometry.Polygon, method geometry.Polygon.area, method geometry.Polygon.operator==, enum
        geometry.Unit, namespace geometry.detail, function geometry.detail.square, function
        geometry.Polygon.area, function geometry.Shape.Shape, function operator<<, type Shapes, function
        total_area, macro SQUARE
    """,
    "shop.graphql": """
        type Product, interface Node, enum Currency, input ProductFilter, union Result, scalar Date, type
        Query, operation FindProducts, fragment fields
    """,
    "store.js": """
        variable VERSION, class Store, method Store.constructor, method Store.size, method Store.dispatch,
        method Store.subscribe, function combine, function compose, function walk, variable handlers, method
        handlers.open, function handlers.close, function handlers.toggle, function thunk, function
        Store.reset
    """,
    "timer.dart": """
        class Countdown, method Countdown.Countdown, method Countdown.done, method Countdown.step, class
        Timer, method Timer.Timer, method Timer.Timer, method Timer.step, method Timer.run, class Logging,
        method Logging.log, enum Phase, extension Seconds, method Seconds.seconds, type Callback, function
        main
    """,
    "weather.proto": """
        message Place, message Place.Point, enum Sky, service Forecast, method Forecast.Today, method
        Forecast.Watch, message Report
    """,
}

WHOLE = 1 << 20
# Definitions inside functions and tags of typedefs: they show when what is around them is taken apart.
INNER = {
    "store.js": "function combine.combined",
    "Panel.tsx": "function Memo.Inner",
    "arena.c": "struct arena_t.arena",
    "bitset.zig": "function List.len",
}


def listed(text: str) -> list[str]:
    return [" ".join(item.split()) for item in text.split(",") if item.strip()]


def found(name: str, limit: int) -> list[str]:
    data, language = sample(name)
    units = outline(grammar(language), data, limit, limit)
    return [
        f"{symbol.kind} {symbol.scope}.{symbol.name}" if symbol.scope else f"{symbol.kind} {symbol.name}"
        for unit in units
        for symbol in unit.symbols
    ]


@pytest.mark.parametrize("name", SYMBOLS)
def test_sample_defines(name: str) -> None:
    assert found(name, WHOLE) == listed(SYMBOLS[name])


@pytest.mark.parametrize("name", SYMBOLS)
def test_taking_definitions_apart_changes_no_symbol(name: str) -> None:
    assert set(found(name, 60)) == {*listed(SYMBOLS[name]), *listed(INNER.get(name, ""))}
