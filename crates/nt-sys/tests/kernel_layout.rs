//! Kernel records against sizes, alignments and offsets measured from the public headers.
//!
//! WDK 10.0.22621 and SDK 10.0.22000, compiled with clang for x86_64-pc-windows-msvc. The asserts beside each type are typed by
//! hand; this table was extracted, so that one checks the other.

use std::mem::{align_of, offset_of, size_of};

use nt_sys::ex::*;
use nt_sys::io::*;
use nt_sys::ke::*;
use nt_sys::mdl::*;
use nt_sys::ndis::*;
use nt_sys::types::*;

macro_rules! records {
    ($($record:ident, $size:literal, $align:literal, { $($($field:ident).+: $offset:literal),* };)*) => {
        #[test]
        fn records_have_the_headers_layout() {
            $(
                assert_eq!((size_of::<$record>(), align_of::<$record>()), ($size, $align), stringify!($record));
                $(assert_eq!(
                    offset_of!($record, $($field).+),
                    $offset,
                    concat!(stringify!($record), ".", stringify!($($field).+))
                );)*
            )*
        }
    };
}

records! {
    GUID, 16, 4, { Data1: 0, Data2: 4, Data3: 6, Data4: 8 };
    UNICODE_STRING, 16, 8, { Length: 0, MaximumLength: 2, Buffer: 8 };
    LIST_ENTRY, 16, 8, { Flink: 0, Blink: 8 };
    CLIENT_ID, 16, 8, { UniqueProcess: 0, UniqueThread: 8 };
    KEVENT, 24, 8, { Header: 0, Header.SignalState: 4, Header.WaitListHead: 8, Header.WaitListHead.Flink: 8, Header.WaitListHead.Blink: 16 };
    KTIMER, 64, 8, { Header: 0, Header.SignalState: 4, Header.WaitListHead: 8, Header.WaitListHead.Flink: 8, Header.WaitListHead.Blink: 16, DueTime: 24, TimerListEntry: 32, TimerListEntry.Flink: 32, TimerListEntry.Blink: 40, Dpc: 48, Processor: 56, TimerType: 58, Period: 60 };
    KDPC, 64, 8, { DpcListEntry: 8, ProcessorHistory: 16, DeferredRoutine: 24, DeferredContext: 32, SystemArgument1: 40, SystemArgument2: 48, DpcData: 56 };
    EX_RUNDOWN_REF, 8, 8, { Count: 0 };
    MDL, 48, 8, { Next: 0, Size: 8, MdlFlags: 10, Process: 16, MappedSystemVa: 24, StartVa: 32, ByteCount: 40, ByteOffset: 44 };
    NDIS_OBJECT_HEADER, 4, 2, { Type: 0, Revision: 1, Size: 2 };
    NET_BUFFER_LIST_POOL_PARAMETERS, 16, 4, { Header: 0, Header.Type: 0, Header.Revision: 1, Header.Size: 2, ProtocolId: 4, fAllocateNetBuffer: 5, ContextSize: 6, PoolTag: 8, DataSize: 12 };
    NET_BUFFER_LIST, 368, 16, { Next: 0, FirstNetBuffer: 8, Context: 16, ParentNetBufferList: 24, NdisPoolHandle: 32, NdisReserved: 48, ProtocolReserved: 64, MiniportReserved: 96, Scratch: 112, SourceHandle: 120, NblFlags: 128, ChildRefCount: 132, Flags: 136, Status: 140, NetBufferListInfo: 144 };
    NET_BUFFER, 176, 16, { Next: 0, CurrentMdl: 8, CurrentMdlOffset: 16, MdlChain: 32, DataOffset: 40, ChecksumBias: 48, Reserved: 50, NdisPoolHandle: 56, NdisReserved: 64, ProtocolReserved: 80, MiniportReserved: 128, DataPhysicalAddress: 160, SharedMemoryInfo: 168 };
    IO_STATUS_BLOCK, 16, 8, { Status: 0, Information: 8 };
    IRP, 208, 16, { Type: 0, Size: 2, MdlAddress: 8, Flags: 16, AssociatedIrp: 24, AssociatedIrp.MasterIrp: 24, AssociatedIrp.IrpCount: 24, AssociatedIrp.SystemBuffer: 24, ThreadListEntry: 32, ThreadListEntry.Flink: 32, ThreadListEntry.Blink: 40, IoStatus: 48, IoStatus.Status: 48, IoStatus.Information: 56, RequestorMode: 64, PendingReturned: 65, StackCount: 66, CurrentLocation: 67, Cancel: 68, CancelIrql: 69, ApcEnvironment: 70, AllocationFlags: 71, UserEvent: 80, CancelRoutine: 104, UserBuffer: 112, Tail: 120, Tail.Overlay: 120, Tail.Overlay.Thread: 152, Tail.Overlay.AuxiliaryBuffer: 160, Tail.Overlay.OriginalFileObject: 192, Tail.CompletionKey: 120, Tail.Overlay.ListEntry: 168, Tail.Overlay.CurrentStackLocation: 184 };
    IO_STACK_LOCATION, 72, 8, { MajorFunction: 0, MinorFunction: 1, Flags: 2, Control: 3, Parameters: 8, Parameters.Create: 8, Parameters.Create.SecurityContext: 8, Parameters.Create.Options: 16, Parameters.Create.FileAttributes: 24, Parameters.Create.ShareAccess: 26, Parameters.Create.EaLength: 32, Parameters.DeviceIoControl: 8, Parameters.DeviceIoControl.OutputBufferLength: 8, Parameters.DeviceIoControl.InputBufferLength: 16, Parameters.DeviceIoControl.IoControlCode: 24, Parameters.DeviceIoControl.Type3InputBuffer: 32, Parameters.Others: 8, DeviceObject: 40, FileObject: 48, CompletionRoutine: 56, Context: 64 };
    DRIVER_OBJECT, 336, 8, { Type: 0, Size: 2, DeviceObject: 8, Flags: 16, DriverStart: 24, DriverSize: 32, DriverSection: 40, DriverExtension: 48, DriverName: 56, DriverName.Length: 56, DriverName.MaximumLength: 58, DriverName.Buffer: 64, HardwareDatabase: 72, FastIoDispatch: 80, DriverInit: 88, DriverStartIo: 96, DriverUnload: 104, MajorFunction: 112 };
    DEVICE_OBJECT, 336, 16, { Type: 0, Size: 2, ReferenceCount: 4, DriverObject: 8, NextDevice: 16, AttachedDevice: 24, CurrentIrp: 32, Timer: 40, Flags: 48, Characteristics: 52, Vpb: 56, DeviceExtension: 64, DeviceType: 72, StackSize: 76, Queue: 80, AlignmentRequirement: 152, DeviceQueue: 160, Dpc: 200, Dpc.DpcListEntry: 208, Dpc.ProcessorHistory: 216, Dpc.DeferredRoutine: 224, Dpc.DeferredContext: 232, Dpc.SystemArgument1: 240, Dpc.SystemArgument2: 248, Dpc.DpcData: 256, ActiveThreadCount: 264, SecurityDescriptor: 272, DeviceLock: 280, DeviceLock.Header: 280, DeviceLock.Header.SignalState: 284, DeviceLock.Header.WaitListHead: 288, SectorSize: 304, Spare1: 306, DeviceObjectExtension: 312, Reserved: 320 };
    FILE_OBJECT, 216, 8, { Type: 0, Size: 2, DeviceObject: 8, Vpb: 16, FsContext: 24, FsContext2: 32, SectionObjectPointer: 40, PrivateCacheMap: 48, FinalStatus: 56, RelatedFileObject: 64, LockOperation: 72, DeletePending: 73, ReadAccess: 74, WriteAccess: 75, DeleteAccess: 76, SharedRead: 77, SharedWrite: 78, SharedDelete: 79, Flags: 80, FileName: 88, FileName.Length: 88, FileName.MaximumLength: 90, FileName.Buffer: 96, CurrentByteOffset: 104, Waiters: 112, Busy: 116, LastLock: 120, Lock: 128, Lock.Header: 128, Lock.Header.SignalState: 132, Lock.Header.WaitListHead: 136, Event: 152, Event.Header: 152, Event.Header.SignalState: 156, Event.Header.WaitListHead: 160, CompletionContext: 176, IrpListLock: 184, IrpList: 192, IrpList.Flink: 192, IrpList.Blink: 200, FileObjectExtension: 208 };
}

#[test]
fn control_code_packs_device_access_function_and_method() {
    // learn.microsoft.com "Defining I/O Control Codes": device type 31-16, access 15-14, function 13-2, method 1-0.
    assert_eq!(CTL_CODE(FILE_DEVICE_NETWORK, 0x801, METHOD_BUFFERED, FILE_READ_DATA | FILE_WRITE_DATA), 0x0012_E004);
}

#[test]
fn identifier_keeps_the_order_of_its_text_form() {
    let guid = GUID::from_u128(0xc38d57d1_05a7_4c33_904f_7fbceee60e82);
    assert_eq!((guid.Data1, guid.Data2, guid.Data3), (0xc38d57d1, 0x05a7, 0x4c33));
    assert_eq!(guid.Data4, [0x90, 0x4f, 0x7f, 0xbc, 0xee, 0xe6, 0x0e, 0x82]);
    assert_eq!(guid.to_u128(), 0xc38d57d1_05a7_4c33_904f_7fbceee60e82);
}

#[test]
fn warnings_are_neither_success_nor_error() {
    use nt_sys::status::*;
    assert!(NT_SUCCESS(STATUS_PENDING) && !NT_ERROR(STATUS_PENDING));
    assert!(!NT_SUCCESS(STATUS_BUFFER_OVERFLOW) && !NT_ERROR(STATUS_BUFFER_OVERFLOW));
    assert!(!NT_SUCCESS(STATUS_CANCELLED) && NT_ERROR(STATUS_CANCELLED));
    assert_eq!(name(STATUS_FWP_CANNOT_PEND), Some("STATUS_FWP_CANNOT_PEND"));
}
