/*
 * The few kernel-mode declarations of the Windows Filtering Platform that callout.c uses.
 *
 * MinGW has the kernel headers (ddk/wdm.h) but no fwpsk.h and no fwpmk.h. With Microsoft's kit, include those instead.
 * Names, order and values are those of the public documentation.
 */
#pragma once

#include <wdm.h>

typedef struct { wchar_t *name, *description; } FWPM_DISPLAY_DATA0;
typedef struct { UINT32 size; UINT8 *data; } FWP_BYTE_BLOB;

/* A value with its type; of the union only what fits a port. */
typedef struct {
    UINT32 type;
    union { UINT8 uint8; UINT16 uint16; UINT32 uint32; UINT64 *uint64; };
} FWP_VALUE0;

#define FWP_ACTION_BLOCK 0x1001u
#define FWP_ACTION_PERMIT 0x1002u
#define FWP_ACTION_CALLOUT_TERMINATING 0x5003u
#define FWPS_RIGHT_ACTION_WRITE 1u
#define FWPS_CLASSIFY_OUT_FLAG_ABSORB 1u

/* ---- the run-time side: what the filter engine calls ---- */

typedef struct { FWP_VALUE0 value; } FWPS_INCOMING_VALUE0;
typedef struct { UINT16 layerId; UINT32 valueCount; FWPS_INCOMING_VALUE0 *incomingValue; } FWPS_INCOMING_VALUES0;
typedef struct FWPS_INCOMING_METADATA_VALUES0_ FWPS_INCOMING_METADATA_VALUES0;
typedef struct FWPS_FILTER3_ FWPS_FILTER3;

typedef struct {
    UINT32 actionType;
    UINT64 outContext;
    UINT64 filterId;
    UINT32 rights;
    UINT32 flags;
    UINT32 reserved;
} FWPS_CLASSIFY_OUT0;

typedef void NTAPI FWPS_CALLOUT_CLASSIFY_FN3(const FWPS_INCOMING_VALUES0 *values,
    const FWPS_INCOMING_METADATA_VALUES0 *metadata, void *layerData, const void *classifyContext,
    const FWPS_FILTER3 *filter, UINT64 flowContext, FWPS_CLASSIFY_OUT0 *out);
typedef NTSTATUS NTAPI FWPS_CALLOUT_NOTIFY_FN3(UINT32 type, const GUID *filterKey, FWPS_FILTER3 *filter);
typedef void NTAPI FWPS_CALLOUT_FLOW_DELETE_NOTIFY_FN0(UINT16 layerId, UINT32 calloutId, UINT64 flowContext);

typedef struct {
    GUID calloutKey;
    UINT32 flags;
    FWPS_CALLOUT_CLASSIFY_FN3 *classifyFn;
    FWPS_CALLOUT_NOTIFY_FN3 *notifyFn;
    FWPS_CALLOUT_FLOW_DELETE_NOTIFY_FN0 *flowDeleteFn;
} FWPS_CALLOUT3;

NTSTATUS NTAPI FwpsCalloutRegister3(void *deviceObject, const FWPS_CALLOUT3 *callout, UINT32 *calloutId);
NTSTATUS NTAPI FwpsCalloutUnregisterById0(UINT32 calloutId);

/* The remote port has the same place in the values of both layers. */
#define FWPS_FIELD_ALE_AUTH_CONNECT_IP_REMOTE_PORT 7

/* ---- the management side: the objects that make the filter engine call ---- */

typedef struct {
    GUID sessionKey;
    FWPM_DISPLAY_DATA0 displayData;
    UINT32 flags;
    UINT32 txnWaitTimeoutInMSec;
    UINT32 processId;
    void *sid;
    wchar_t *username;
    INT32 kernelMode;
} FWPM_SESSION0;

/* What a dynamic session adds goes when it is closed. */
#define FWPM_SESSION_FLAG_DYNAMIC 1u

typedef struct {
    GUID calloutKey;
    FWPM_DISPLAY_DATA0 displayData;
    UINT32 flags;
    GUID *providerKey;
    FWP_BYTE_BLOB providerData;
    GUID applicableLayer;
    UINT32 calloutId;
} FWPM_CALLOUT0;

typedef struct { UINT32 type; GUID calloutKey; } FWPM_ACTION0;
typedef struct FWPM_FILTER_CONDITION0_ FWPM_FILTER_CONDITION0;

typedef struct {
    GUID filterKey;
    FWPM_DISPLAY_DATA0 displayData;
    UINT32 flags;
    GUID *providerKey;
    FWP_BYTE_BLOB providerData;
    GUID layerKey;
    GUID subLayerKey;
    FWP_VALUE0 weight;
    UINT32 numFilterConditions;
    FWPM_FILTER_CONDITION0 *filterCondition;
    FWPM_ACTION0 action;
    union { UINT64 rawContext; GUID providerContextKey; };
    GUID *reserved;
    UINT64 filterId;
    FWP_VALUE0 effectiveWeight;
} FWPM_FILTER0;

_Static_assert(sizeof(FWPS_CLASSIFY_OUT0) == 40, "FWPS_CLASSIFY_OUT0");
_Static_assert(sizeof(FWPS_CALLOUT3) == 48, "FWPS_CALLOUT3");
_Static_assert(sizeof(FWPM_CALLOUT0) == 88, "FWPM_CALLOUT0");
_Static_assert(sizeof(FWPM_FILTER0) == 200, "FWPM_FILTER0");

NTSTATUS NTAPI FwpmEngineOpen0(const wchar_t *server, UINT32 authentication, void *identity,
    const FWPM_SESSION0 *session, HANDLE *engine);
NTSTATUS NTAPI FwpmEngineClose0(HANDLE engine);
NTSTATUS NTAPI FwpmTransactionBegin0(HANDLE engine, UINT32 flags);
NTSTATUS NTAPI FwpmTransactionCommit0(HANDLE engine);
NTSTATUS NTAPI FwpmCalloutAdd0(HANDLE engine, const FWPM_CALLOUT0 *callout, void *security, UINT32 *id);
NTSTATUS NTAPI FwpmFilterAdd0(HANDLE engine, const FWPM_FILTER0 *filter, void *security, UINT64 *id);

#define RPC_C_AUTHN_WINNT 10u

static const GUID FWPM_LAYER_ALE_AUTH_CONNECT_V4 = {
    0xc38d57d1, 0x05a7, 0x4c33, { 0x90, 0x4f, 0x7f, 0xbc, 0xee, 0xe6, 0x0e, 0x82 } };
static const GUID FWPM_LAYER_ALE_AUTH_CONNECT_V6 = {
    0x4a72393b, 0x319f, 0x44bc, { 0x84, 0xc3, 0xba, 0x54, 0xdc, 0xb3, 0xb6, 0xb4 } };
