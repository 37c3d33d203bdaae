//! The face for whoever plays the rest of the machine: boot, applications, news, a look inside.

use crate::ale::{Connect, ConnectSpec, DatagramSocket, FlowHandle, Listener, Process, ProcessSpec, Wired};
use crate::config::Config;
use crate::counters::Counts;
use crate::events::NetEvent;
use crate::host::{Host, Violation};
use crate::machine::Machine;
use crate::status::{CalloutStatus, EngineStatus, FilterStatus, SublayerStatus};
use nt_sys::fwps::{FWPS_CALLOUT_CLASSIFY_FN3, FWPS_CALLOUT_NOTIFY_FN3};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The filtering platform of this process.
///
/// There is one at a time: a second boot waits until the first engine is dropped. Dropping it checks that drivers have given
/// everything back.
pub struct Engine {
    machine: Arc<Machine>,
}

impl Engine {
    /// Boots the platform on `host`; from here on the C symbols act on it.
    pub fn boot(config: Config, host: Arc<dyn Host>) -> Self {
        Self { machine: Machine::boot(config, host) }
    }

    /// Starts a process.
    pub fn process(&self, spec: ProcessSpec) -> Process {
        Process::start(Arc::clone(&self.machine), spec)
    }

    /// Connects a TCP socket. The outcome may come later, through [`Connect::outcome`] and `spec.on_done`.
    pub fn tcp_connect(&self, process: &Process, spec: ConnectSpec) -> Connect {
        Connect::start(&self.machine, process, spec)
    }

    /// Opens a TCP socket that listens at `local`; whether it does, [`Listener::error`] tells.
    pub fn tcp_listen(&self, process: &Process, local: SocketAddr) -> Listener {
        Listener::start(&self.machine, process, local)
    }

    /// Opens a UDP socket.
    pub fn udp_open(&self, process: &Process, local: SocketAddr) -> DatagramSocket {
        let fixed = Some(local).filter(|local| !local.ip().is_unspecified() || local.port() != 0);
        DatagramSocket::udp(&self.machine, process, fixed, local.is_ipv6())
    }

    /// Opens a socket for ICMP echo.
    pub fn icmp_open(&self, process: &Process, is_v6: bool) -> DatagramSocket {
        DatagramSocket::icmp(&self.machine, process, is_v6)
    }

    /// Opens a raw socket for `protocol`, which is none of TCP, UDP and ICMP.
    pub fn raw_open(&self, process: &Process, protocol: u8, is_v6: bool) -> DatagramSocket {
        DatagramSocket::open(&self.machine, process, protocol, None, is_v6)
    }

    /// Every packet that has left the machine, oldest first.
    pub fn wire(&self) -> Vec<Wired> {
        self.machine.network.wire()
    }

    /// The same, and forgets them.
    pub fn take_wire(&self) -> Vec<Wired> {
        self.machine.network.take_wire()
    }

    /// How many net buffer lists drivers have: allocated, cloned, or kept from the stack by a reference.
    pub fn outstanding_packets(&self) -> usize {
        self.machine.lists.outstanding()
    }

    /// Has every live flow authorized again for `reason`, a bit of `FWP_CONDITION_REAUTHORIZE_REASON_*`; says how many.
    pub fn reauthorize_all(&self, reason: u32) -> usize {
        let live: Vec<FlowHandle> = self.flows().into_iter().filter(FlowHandle::is_live).collect();
        for flow in &live {
            flow.reauthorize(reason);
        }
        live.len()
    }

    /// Every flow that has not ended.
    pub fn flows(&self) -> Vec<FlowHandle> {
        let flows = self.machine.ale.flows().into_iter();
        flows.map(|flow| FlowHandle::new(Arc::clone(&self.machine), flow)).collect()
    }

    /// Stops the base filtering engine: subscribers hear of it, sessions end, all but persistent objects go.
    pub fn bfe_stop(&self) {
        self.machine.bfe.stop(&self.machine);
    }

    /// Starts the base filtering engine again, with what is persistent.
    pub fn bfe_start(&self) {
        self.machine.bfe.start(&self.machine);
    }

    /// Says whether the Windows service `name` starts by itself. Persistent filters of a provider whose service does not are
    /// disabled from the next start on.
    pub fn set_service_starts(&self, name: &str, starts: bool) {
        self.machine.bfe.set_service_starts(name, starts);
    }

    /// Logs permits too, as the engine option for keyword 0x10 does.
    pub fn collect_allow_events(&self, collect: bool) {
        self.machine.events.collect_allow(collect);
    }

    /// The events that the log still has, oldest first.
    pub fn net_events(&self) -> Vec<NetEvent> {
        self.machine.events.all()
    }

    /// Broken rules that Windows lets pass.
    pub fn warnings(&self) -> Vec<Violation> {
        self.machine.warnings()
    }

    /// Whether a violation was reported; what is left over then proves nothing, and is not checked at shutdown.
    pub fn has_crashed(&self) -> bool {
        self.machine.has_crashed()
    }

    /// Everything at this moment.
    pub fn snapshot(&self) -> EngineStatus {
        let machine = &self.machine;
        let objects = machine.bfe.objects();
        let mut sublayers: Vec<SublayerStatus> = objects
            .sublayers
            .iter()
            .map(|one| SublayerStatus { key: one.common.key, name: one.common.name.clone(), weight: one.weight })
            .collect();
        sublayers.sort_by_key(|sublayer| std::cmp::Reverse(sublayer.weight));
        let mut callouts: BTreeMap<u32, CalloutStatus> = BTreeMap::new();
        for one in machine.callouts.all() {
            let status = CalloutStatus {
                id: one.id,
                key: one.key,
                name: None,
                layer: None,
                is_registered: true,
                pended: one.pends.load(std::sync::atomic::Ordering::SeqCst),
                counts: one.counters.counts(),
            };
            callouts.insert(one.id, status);
        }
        for one in &objects.callouts {
            let status = callouts.entry(one.id).or_insert(CalloutStatus {
                id: one.id,
                key: one.common.key,
                name: None,
                layer: None,
                is_registered: false,
                pended: 0,
                counts: Counts::default(),
            });
            status.name = Some(one.common.name.clone());
            status.layer = Some(one.layer);
        }
        let mut filters: Vec<FilterStatus> = objects
            .filters
            .iter()
            .map(|one| FilterStatus {
                id: one.id,
                key: one.common.key,
                name: one.common.name.clone(),
                layer: one.layer,
                sublayer: one.sublayer,
                weight: one.weight,
                callout: one.callout(),
                is_disabled: one.is_disabled,
                counts: one.counters.counts(),
            })
            .collect();
        filters.sort_by_key(|filter| filter.id);
        EngineStatus {
            bfe_state: machine.bfe.service_state(),
            sessions: objects.sessions,
            providers: objects.providers,
            sublayers,
            callouts: callouts.into_values().collect(),
            filters,
            flows: machine.ale.flows().len(),
            pended: machine.ale.pended_operations(),
            closures_held: machine.handles.pended(),
            listeners: machine.ale.listener_statuses(),
            totals: machine.totals.totals(),
        }
    }

    /// The classify function of the callout with this run-time id; for measuring it without the engine around it.
    pub fn classify_function(&self, callout: u32) -> Option<FWPS_CALLOUT_CLASSIFY_FN3> {
        self.machine.callouts.get(callout).map(|callout| callout.classify)
    }

    /// The notify function of the callout with this run-time id; for sending it what this engine never sends.
    pub fn notify_function(&self, callout: u32) -> Option<FWPS_CALLOUT_NOTIFY_FN3> {
        self.machine.callouts.get(callout).map(|callout| callout.notify)
    }

    /// Shuts the platform down; same as dropping it, said aloud.
    pub fn shutdown(self) {
        drop(self);
    }

    /// What drivers still hold, as the rule that it breaks.
    fn leftovers(&self) -> Option<(&'static str, String)> {
        let machine = &self.machine;
        let registered = machine.callouts.all().len();
        [
            ("V-PEND-02", machine.ale.pended_operations(), "operations are pended"),
            ("V-HDL-02", machine.handles.acquired(), "classify handles were not released"),
            ("V-OBJ-02", registered, "callouts are registered"),
            ("V-OBJ-04", machine.bfe.kernel_sessions(), "engine handles are open"),
            ("V-OBJ-04", machine.bfe.subscriptions(), "state subscriptions exist"),
            ("V-OBJ-06", machine.memory.outstanding(), "records were not freed"),
            ("V-NBL-10", machine.lists.outstanding(), "net buffer lists were not freed"),
            ("V-NBL-10", machine.lists.open(), "net buffer list pools or generic objects exist"),
            ("V-INJ-07", machine.injection.open_handles(), "injection handles exist"),
        ]
        .into_iter()
        .find(|(_, count, _)| *count > 0)
        .map(|(rule, count, what)| (rule, format!("at shutdown {count} {what}")))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let leftovers = self.leftovers();
        self.machine.uninstall();
        if let Some((rule, detail)) = leftovers
            && !std::thread::panicking()
            && !self.machine.has_crashed()
        {
            self.machine.bugcheck(rule, detail);
        }
    }
}
