//! This host, behind names that do not depend on which system it runs.
//!
//! Devices that frames come from and go to, the interfaces and routes of the machine, the changes we make to it and
//! how they are undone, privileges, directories, and the DHCP client on the TAP. It is the only crate of ours with
//! `unsafe`: the kernel is called here and nowhere else, and what it says becomes checked values.
//!
//! One name per concept, with the system's `imp` behind it. Linux is complete. Windows has what a player needs; what is for LAN
//! gateways answers with an error that says so, and of what is Linux's alone (sysctl, NetworkManager) there is nothing to set.

pub mod device;
pub mod dhcp;
pub mod dirs;
pub mod doctor;
#[cfg(target_os = "linux")]
mod feature;
pub mod interface;
pub mod network;
pub mod network_manager;
pub mod privileges;
mod process;
#[cfg(windows)]
mod registry;
pub mod service;
pub mod socket;
#[cfg(target_os = "linux")]
mod syscall;
pub mod sysctl;
#[cfg(target_os = "linux")]
#[cfg(test)]
mod testing;
pub mod transaction;
#[cfg(windows)]
mod win32;
