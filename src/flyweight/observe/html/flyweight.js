"use strict";

// The only global name: every other file adds one concept to it. The page's content security policy forbids markup made
// from strings, so all of them build elements and set text.
const flyweight = {};
