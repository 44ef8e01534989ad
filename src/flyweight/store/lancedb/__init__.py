"""An index in a LanceDB table. LanceDB lives in a process of its own; the resident has `client`."""
