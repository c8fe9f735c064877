//! What `plan` and `apply` promise on one host (design, sections 3 to 7), proved on the built program with real files.

mod adoption;
mod carry;
mod dest;
mod drift;
mod host;
mod kill;
mod layouts;
mod pairs;
mod patterns;
mod quiet;
mod scale;
mod source;
mod state;
