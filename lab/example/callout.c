/*
 * A small callout driver: blocks every connection to one remote port, and silently discards packets to the next one,
 * over IPv4 and IPv6.
 *
 * docs/lab.md builds it with MinGW and runs it under Wine. The order is the one of every callout driver: register the
 * callouts with the filter engine, then add the objects that refer to them, in one transaction; undo in reverse.
 */
#include "wfp.h"

#define BLOCKED_PORT 4444
#define ABSORBED_PORT 4445

#define LAYERS 2

static const GUID *const layers[LAYERS] = { &FWPM_LAYER_ALE_AUTH_CONNECT_V4, &FWPM_LAYER_ALE_AUTH_CONNECT_V6 };

/* One callout for each layer. The first word differs. */
static const GUID calloutKeys[LAYERS] = {
    { 0x1d3b6a01, 0x58c2, 0x4e0a, { 0x9e, 0x6f, 0x21, 0x7c, 0x0a, 0x55, 0x3d, 0x90 } },
    { 0x1d3b6a02, 0x58c2, 0x4e0a, { 0x9e, 0x6f, 0x21, 0x7c, 0x0a, 0x55, 0x3d, 0x90 } },
};

static DEVICE_OBJECT *device;
static HANDLE engine;
static UINT32 calloutIds[LAYERS];

/* The filter engine asks about one connection. IRQL <= DISPATCH_LEVEL. */
static void NTAPI classify(const FWPS_INCOMING_VALUES0 *values, const FWPS_INCOMING_METADATA_VALUES0 *metadata,
    void *layerData, const void *classifyContext, const FWPS_FILTER3 *filter, UINT64 flowContext,
    FWPS_CLASSIFY_OUT0 *out)
{
    UINT16 port = values->incomingValue[FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_PORT].value.uint16;

    (void)metadata, (void)layerData, (void)classifyContext, (void)filter, (void)flowContext;
    if (!(out->rights & FWPS_RIGHT_ACTION_WRITE))
        return; /* a heavier callout has decided */
    if (port != BLOCKED_PORT && port != ABSORBED_PORT) {
        out->actionType = FWP_ACTION_PERMIT;
        return;
    }
    out->actionType = FWP_ACTION_BLOCK;
    out->rights &= ~FWPS_RIGHT_ACTION_WRITE;
    if (port == ABSORBED_PORT)
        out->flags |= FWPS_CLASSIFY_OUT_FLAG_ABSORB;
    DbgPrint("callout: blocked a connection to port %u\n", port);
}

/* The filter engine tells of a filter that refers to a callout of ours. */
static NTSTATUS NTAPI notify(UINT32 type, const GUID *filterKey, FWPS_FILTER3 *filter)
{
    (void)type, (void)filterKey, (void)filter;
    return STATUS_SUCCESS;
}

static NTSTATUS registerCallouts(void)
{
    NTSTATUS status = STATUS_SUCCESS;

    for (int i = 0; i < LAYERS && NT_SUCCESS(status); i++) {
        FWPS_CALLOUT3 callout = { .calloutKey = calloutKeys[i], .classifyFn = classify, .notifyFn = notify };
        status = FwpsCalloutRegister3(device, &callout, &calloutIds[i]);
    }
    return status;
}

/* Objects of a dynamic session: closing the engine handle removes them, and an open transaction with them. */
static NTSTATUS addObjects(void)
{
    FWPM_SESSION0 session = { .flags = FWPM_SESSION_FLAG_DYNAMIC };
    FWPM_DISPLAY_DATA0 name = { L"Example callout", L"Blocks one remote port" };
    NTSTATUS status = FwpmEngineOpen0(NULL, RPC_C_AUTHN_WINNT, NULL, &session, &engine);

    if (NT_SUCCESS(status))
        status = FwpmTransactionBegin0(engine, 0);
    for (int i = 0; i < LAYERS && NT_SUCCESS(status); i++) {
        FWPM_CALLOUT0 callout = { .calloutKey = calloutKeys[i], .displayData = name, .applicableLayer = *layers[i] };
        FWPM_FILTER0 filter = {
            .displayData = name,
            .layerKey = *layers[i],
            .action = { .type = FWP_ACTION_CALLOUT_TERMINATING, .calloutKey = calloutKeys[i] },
        };
        status = FwpmCalloutAdd0(engine, &callout, NULL, NULL);
        if (NT_SUCCESS(status))
            status = FwpmFilterAdd0(engine, &filter, NULL, NULL);
    }
    if (NT_SUCCESS(status))
        status = FwpmTransactionCommit0(engine);
    return status;
}

/* Undoes whatever DriverEntry has done. */
static void undo(void)
{
    if (engine)
        FwpmEngineClose0(engine);
    for (int i = LAYERS - 1; i >= 0; i--)
        if (calloutIds[i])
            FwpsCalloutUnregisterById0(calloutIds[i]);
    if (device)
        IoDeleteDevice(device);
}

static void NTAPI unload(DRIVER_OBJECT *driver)
{
    (void)driver;
    undo();
    DbgPrint("callout: unloaded\n");
}

NTSTATUS NTAPI DriverEntry(DRIVER_OBJECT *driver, UNICODE_STRING *registryPath)
{
    NTSTATUS status;

    (void)registryPath;
    driver->DriverUnload = unload;
    status = IoCreateDevice(driver, 0, NULL, FILE_DEVICE_NETWORK, FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (NT_SUCCESS(status))
        status = registerCallouts();
    if (NT_SUCCESS(status))
        status = addObjects();
    if (!NT_SUCCESS(status))
        undo();
    DbgPrint("callout: DriverEntry returns %08x\n", status);
    return status;
}
