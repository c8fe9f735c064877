//! The other hosts: who may do what, the conversation between two of them, the far end, and passing on.

pub mod authorized_keys;
pub mod block;
mod bring;
pub mod carrier;
pub mod contact;
pub mod deliver;
pub mod due;
pub mod fetch;
pub mod gate;
pub mod glance;
pub mod key_pair;
pub mod known_hosts;
pub mod master;
pub mod may;
pub mod own;
mod parallel;
pub mod parcel;
pub mod plans;
pub mod record;
mod remote;
pub mod rollout;
pub mod runner;
pub mod staging;
pub mod wave;
pub mod wire;
