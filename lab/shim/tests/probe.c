/*
 * A driver that tries what the lab supplies (at start) and breaks rules on demand (on write), for the lab's own tests.
 *
 * Functions that Wine's kernel lacks are looked up by name, as drivers for several versions of Windows do.
 */
#include <wdm.h>

#define TAG 'borP'
#define CHECK(condition) DbgPrint("probe: %s %s\n", (condition) ? "ok" : "BAD", #condition)

typedef void *(NTAPI *ALLOCATE2)(UINT64 flags, SIZE_T bytes, ULONG tag);
typedef void (NTAPI *RUNDOWN)(void *reference);
typedef BOOLEAN (NTAPI *RUNDOWN_ACQUIRE)(void *reference);
typedef KIRQL (NTAPI *GET_IRQL)(void);
typedef UINT64 (NTAPI *START_KEY)(PEPROCESS process);
typedef void (NTAPI *PRECISE_TIME)(LARGE_INTEGER *time);

/* Exported by x64 Windows; the header has inline versions only. */
NTKERNELAPI KIRQL NTAPI KeAcquireSpinLockRaiseToDpc(KSPIN_LOCK *lock);
NTKERNELAPI PEPROCESS NTAPI IoGetCurrentProcess(void);

static DEVICE_OBJECT *device;
static UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\LabProbe");
static UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\DosDevices\\LabProbe");
static GET_IRQL getIrql;
static KSPIN_LOCK lock;
static KEVENT dpcRan;
static KDPC dpc;
static KTIMER timer;
static KIRQL dpcIrql;
static int cleanups;

static void *find(const wchar_t *function)
{
    UNICODE_STRING string;

    RtlInitUnicodeString(&string, function);
    return MmGetSystemRoutineAddress(&string);
}

static void NTAPI runDpc(KDPC *self, void *context, void *first, void *second)
{
    (void)self, (void)context, (void)first, (void)second;
    dpcIrql = getIrql();
    KeSetEvent(&dpcRan, 0, FALSE);
}

static NTSTATUS waitForDpc(void)
{
    LARGE_INTEGER tenSeconds = { .QuadPart = -10 * 10000000ll };
    NTSTATUS status = KeWaitForSingleObject(&dpcRan, Executive, KernelMode, FALSE, &tenSeconds);

    KeClearEvent(&dpcRan);
    return status;
}

static void checkLevels(void)
{
    LARGE_INTEGER soon = { .QuadPart = -10000 };
    KIRQL old;

    CHECK(getIrql() == PASSIVE_LEVEL);
    old = KeAcquireSpinLockRaiseToDpc(&lock);
    CHECK(old == PASSIVE_LEVEL && getIrql() == DISPATCH_LEVEL);
    KeReleaseSpinLock(&lock, old);
    CHECK(getIrql() == PASSIVE_LEVEL);

    KeInitializeEvent(&dpcRan, NotificationEvent, FALSE);
    KeInitializeDpc(&dpc, runDpc, NULL);
    CHECK(KeInsertQueueDpc(&dpc, NULL, NULL));
    CHECK(waitForDpc() == STATUS_SUCCESS && dpcIrql == DISPATCH_LEVEL);
    dpcIrql = PASSIVE_LEVEL;
    KeInitializeTimerEx(&timer, NotificationTimer);
    KeSetTimerEx(&timer, soon, 0, &dpc);
    CHECK(waitForDpc() == STATUS_SUCCESS && dpcIrql == DISPATCH_LEVEL);
}

static void checkSupplied(void)
{
    ALLOCATE2 allocate2 = (ALLOCATE2)find(L"ExAllocatePool2");
    RUNDOWN initialize = (RUNDOWN)find(L"ExInitializeRundownProtection");
    RUNDOWN_ACQUIRE acquire = (RUNDOWN_ACQUIRE)find(L"ExAcquireRundownProtection");
    RUNDOWN release = (RUNDOWN)find(L"ExReleaseRundownProtection");
    RUNDOWN wait = (RUNDOWN)find(L"ExWaitForRundownProtectionRelease");
    START_KEY startKey = (START_KEY)find(L"PsGetProcessStartKey");
    PRECISE_TIME time = (PRECISE_TIME)find(L"KeQuerySystemTimePrecise");
    PEPROCESS self = IoGetCurrentProcess();
    LARGE_INTEGER now = { .QuadPart = 0 };
    UINT64 reference;
    UCHAR *memory, sum = 0;

    CHECK(allocate2 && initialize && acquire && release && wait && startKey && time && getIrql);
    memory = allocate2(0x40 /* POOL_FLAG_NON_PAGED */, 64, TAG);
    for (int i = 0; i < 64; i++)
        sum |= memory[i];
    CHECK(sum == 0);
    ExFreePoolWithTag(memory, TAG);
    initialize(&reference);
    CHECK(acquire(&reference));
    release(&reference);
    wait(&reference);
    CHECK(!acquire(&reference));
    CHECK(startKey(self) != 0 && startKey(self) == startKey(self));
    time(&now);
    CHECK(now.QuadPart > 0);
}

static NTSTATUS finish(IRP *irp, NTSTATUS status)
{
    irp->IoStatus.Status = status;
    irp->IoStatus.Information = IoGetCurrentIrpStackLocation(irp)->Parameters.Write.Length;
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    return status;
}

/* Breaks the rule that the first letter of the written text names. */
static NTSTATUS NTAPI write(DEVICE_OBJECT *unused, IRP *irp)
{
    LARGE_INTEGER moment = { .QuadPart = -1 };
    const char *text = irp->AssociatedIrp.SystemBuffer;
    KIRQL old;

    (void)unused;
    switch (text ? *text : 0) {
    case 'w': /* waits with a spin lock held */
        old = KeAcquireSpinLockRaiseToDpc(&lock);
        KeWaitForSingleObject(&dpcRan, Executive, KernelMode, FALSE, &moment);
        KeReleaseSpinLock(&lock, old);
        return finish(irp, STATUS_SUCCESS);
    case 'c': /* completes with a spin lock held */
        old = KeAcquireSpinLockRaiseToDpc(&lock);
        finish(irp, STATUS_SUCCESS);
        KeReleaseSpinLock(&lock, old);
        return STATUS_SUCCESS;
    case 't': /* completes twice */
        finish(irp, STATUS_SUCCESS);
        IoCompleteRequest(irp, IO_NO_INCREMENT);
        return STATUS_SUCCESS;
    case 'f': /* frees with the wrong tag */
        ExFreePoolWithTag(ExAllocatePoolWithTag(NonPagedPool, 16, TAG), 'eslF');
        return finish(irp, STATUS_SUCCESS);
    case 'l': /* leaks */
        ExAllocatePoolWithTag(NonPagedPool, 48, TAG);
        return finish(irp, STATUS_SUCCESS);
    default:
        return finish(irp, STATUS_INVALID_PARAMETER);
    }
}

static NTSTATUS NTAPI create(DEVICE_OBJECT *unused, IRP *irp)
{
    (void)unused;
    return finish(irp, STATUS_SUCCESS);
}

static NTSTATUS NTAPI cleanup(DEVICE_OBJECT *unused, IRP *irp)
{
    (void)unused;
    cleanups++;
    return finish(irp, STATUS_SUCCESS);
}

static NTSTATUS NTAPI closed(DEVICE_OBJECT *unused, IRP *irp)
{
    (void)unused;
    CHECK(cleanups == 1);
    cleanups = 0;
    return finish(irp, STATUS_SUCCESS);
}

static void NTAPI unload(DRIVER_OBJECT *driver)
{
    (void)driver;
    IoDeleteSymbolicLink(&link);
    IoDeleteDevice(device);
}

NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *registryPath)
{
    NTSTATUS status;

    (void)registryPath;
    getIrql = (GET_IRQL)find(L"KeGetCurrentIrql");
    checkSupplied();
    checkLevels();
    driver->DriverUnload = unload;
    driver->MajorFunction[IRP_MJ_CREATE] = create;
    driver->MajorFunction[IRP_MJ_CLEANUP] = cleanup;
    driver->MajorFunction[IRP_MJ_CLOSE] = closed;
    driver->MajorFunction[IRP_MJ_WRITE] = write;
    status = IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status))
        return status;
    device->Flags |= DO_BUFFERED_IO;
    status = IoCreateSymbolicLink(&link, &name);
    if (!NT_SUCCESS(status))
        IoDeleteDevice(device);
    return status;
}
