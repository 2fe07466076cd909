//! Nodes that talk to each other through a room that forwards and nothing else.

mod frames;
mod hostile;
mod membership;
mod room;
mod sealed;
mod traffic;
