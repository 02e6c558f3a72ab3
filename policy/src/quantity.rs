//! Quantities with their unit in the type: [`MilliCpu`] and [`Bytes`]. Exact, no floats.

mod cpu;
mod decimal;
mod memory;

pub use cpu::{CpuError, MilliCpu};
pub use memory::{Bytes, MemoryError, flink_memory, flink_units, kubernetes_quantity};
