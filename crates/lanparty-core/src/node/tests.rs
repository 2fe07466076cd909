//! Nodes that talk to each other through a room that forwards and nothing else.

mod addresses;
mod duty;
mod frames;
mod groups;
mod hostile;
mod lan;
mod loops;
mod membership;
mod room;
mod sealed;
mod traffic;
