// The last thing a crashing process does for whoever watches it: its page shows what was so at that moment, not at the
// last tick.
#pragma once

namespace flyweight::memory {

// From now on a signal that ends the process by a fault or an abort publishes the page first. Signals that somebody
// handles are left alone.
void publish_on_crash() noexcept;

}  // namespace flyweight::memory
