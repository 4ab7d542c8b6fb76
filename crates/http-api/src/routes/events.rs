//! /events: what integrators tell the service.

pub(crate) mod create;
