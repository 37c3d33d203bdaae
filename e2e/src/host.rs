//! The emulated filter engine's host: the emulated kernel.

use wfp_sim::{Host, Violation};

/// Runs the filter engine on `nt_sim`.
pub(crate) struct KernelHost;

impl Host for KernelHost {
    fn irql(&self) -> u8 {
        // Every function of the filter engine looks at the level first.
        nt_sim::point();
        nt_sim::irql()
    }

    fn set_irql(&self, irql: u8) {
        nt_sim::set_irql(irql);
    }

    fn spin_locks_held(&self) -> usize {
        nt_sim::held_spin_locks() as usize
    }

    fn now_ms(&self) -> u64 {
        nt_sim::host::now_ms()
    }

    fn defer(&self, work: Box<dyn FnOnce() + Send>) {
        nt_sim::host::defer(work);
    }

    fn wait_ms(&self, ms: u32) {
        nt_sim::host::wait_ms(u64::from(ms));
    }

    fn should_fail(&self, what: &'static str) -> bool {
        nt_sim::fault::should_fail(what)
    }

    fn bugcheck(&self, violation: Violation) -> ! {
        nt_sim::host::bugcheck(WFP_INVALID_OPERATION, 0, violation.rule, violation.detail)
    }
}

/// Bug check 0x1D3 (learn.microsoft.com "Bug Check 0x1D3").
const WFP_INVALID_OPERATION: u32 = 0x1D3;
