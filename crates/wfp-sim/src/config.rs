//! How an engine is booted, and the knobs for what the public record leaves open.

/// What is fixed for the life of one engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// The undocumented behaviours.
    pub knobs: Knobs,
    /// Decides everything that Windows leaves to chance: order among equal weights, levels, error codes.
    pub seed: u64,
    /// Values at ALE_AUTH_CONNECT: 32 (Windows 7), 36 (Windows 10), 37 (1703), 41 (1809 and later).
    pub value_count: u32,
    /// The level that callouts are called at.
    pub classify_irql: ClassifyIrql,
    /// Sets bits in the FLAGS value that no header names; callouts must not care.
    pub unknown_flag_bits: bool,
    /// Delivers notifications of deleted filters at `DISPATCH_LEVEL`.
    pub notify_delete_at_dispatch: bool,
    /// Whether the base filtering engine runs at boot.
    pub bfe_running: bool,
    /// Most callouts at a time.
    pub max_callouts: usize,
    /// Most sublayers at a time.
    pub max_sublayers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            knobs: Knobs::default(),
            seed: 1,
            value_count: 41,
            classify_irql: ClassifyIrql::Seeded,
            unknown_flag_bits: false,
            notify_delete_at_dispatch: false,
            bfe_running: true,
            max_callouts: 100_000,
            max_sublayers: 0x1_0000,
        }
    }
}

/// Behaviours that no public source settles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Knobs {
    /// When a completed operation is authorized again.
    pub reauth_mode: ReauthMode,
    /// What a completion does whose socket is gone.
    pub close_while_pended: CloseWhilePended,
    /// What a datagram does whose flow is pended.
    pub second_packet: SecondPacket,
    /// Whether lighter sublayers are asked after a final block.
    pub after_hard_block: AfterHardBlock,
}

impl Knobs {
    /// Every combination.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for reauth_mode in [ReauthMode::Inline, ReauthMode::Deferred, ReauthMode::DeferredInClassify] {
            for close_while_pended in
                [CloseWhilePended::Tolerant, CloseWhilePended::ReauthAnyway, CloseWhilePended::Hazard]
            {
                for second_packet in [SecondPacket::Absorb, SecondPacket::ClassifyAgain] {
                    for after_hard_block in [AfterHardBlock::CallWithoutRight, AfterHardBlock::Stop] {
                        all.push(Self { reauth_mode, close_while_pended, second_packet, after_hard_block });
                    }
                }
            }
        }
        all
    }
}

/// When the reauthorization of a completed operation runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReauthMode {
    /// Inside `FwpsCompleteOperation0`, on the completing thread.
    #[default]
    Inline,
    /// Later, on a worker.
    Deferred,
    /// Inline, but later while a classify is still on the stack.
    DeferredInClassify,
}

/// What completing does after the socket of the operation was closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CloseWhilePended {
    /// It is accepted and nothing follows.
    #[default]
    Tolerant,
    /// The reauthorization runs, and its result is ignored.
    ReauthAnyway,
    /// It is a use after free.
    Hazard,
}

/// What happens to a second datagram of a pended flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SecondPacket {
    /// It is dropped like the first.
    #[default]
    Absorb,
    /// It is authorized on its own.
    ClassifyAgain,
}

/// What happens below a sublayer whose block is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AfterHardBlock {
    /// Callouts are still called, without the action right.
    #[default]
    CallWithoutRight,
    /// Evaluation ends.
    Stop,
}

/// The level of callouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassifyIrql {
    /// `PASSIVE_LEVEL`, or the caller's if that is higher.
    Passive,
    /// `DISPATCH_LEVEL`.
    Dispatch,
    /// One or the other, from the seed.
    Seeded,
}
