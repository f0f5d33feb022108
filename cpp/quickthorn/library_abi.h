/* The one C structure through which the engine sees the compiled library of a bundle or of a forest file.
 *
 * The shared library exports a single object, `quickthorn_library_entry`, of type quickthorn_library. Everything
 * in it is constant. Feature functions are Numba kernels lowered ahead of time; the forest functions come from
 * Quickthorn's own emitter. None of them allocates, locks or keeps state of its own: all memory belongs to the engine
 * and is passed in.
 */
#ifndef QUICKTHORN_LIBRARY_ABI_H
#define QUICKTHORN_LIBRARY_ABI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUICKTHORN_ABI_VERSION 3u

/* An event row: one 64-bit slot per declared field. Money and event time are int64; the rest are float64 bits or
 * presence flags (engine/quickthorn/event/fields.py has the table).
 * Before the first slot, in reverse order, lies one quickthorn_text for each declared field: that of field i is
 * 16 * (i + 1) bytes before the slots. */
typedef int64_t quickthorn_slot;

/* What was read for a field as text, where the schema says that kernels want it. */
typedef struct quickthorn_text {
    const char* bytes; /* UTF-8, the first QUICKTHORN_TEXT_BYTES of it; valid as long as the event row */
    int64_t length;    /* in bytes, all of it; -1 where the value is missing or not kept */
} quickthorn_text;

#define QUICKTHORN_TEXT_BYTES 256

/* One entity's history, as a group's functions see it:
 *   state    what the group keeps for this entity beside its rows: `state_bytes` long, 8-byte
 *            aligned, all zero when new
 *   rows     a ring of rows of `row_bytes`: int64 event time, then what `fill` writes; the row at
 *            position p is rows + (p & mask) * row_bytes
 *   first    position of the oldest row kept; last: one past the newest. Positions only grow; rows
 *            between are ordered by (event time, arrival). Where `label_offset` is not 0, a quickthorn_row_label
 *            stands that many bytes into each row, and the engine keeps it.
 * `hashes` holds 16 bytes for each declared field, in order: the hash of an identifier or of a field in `hashed_slots`,
 * and nothing of use for others or where the field is missing.
 */

/* What a row says about its event's label. A change is known from a time on: that time, in microseconds, is the
 * change's upper 63 bits, and the lowest is 1 where the event is fraud from then on. Times fall from one change to the
 * next; QUICKTHORN_NO_LABEL stands where there are fewer. At `now_us` the first change that is not later is what is
 * known. */
typedef struct quickthorn_row_label {
    int64_t arrival;    /* the event's number in order of arrival */
    int64_t changes[2]; /* the last two, the newest first */
} quickthorn_row_label;

#define QUICKTHORN_NO_LABEL INT64_MIN

/* An entity that is known to be fraudulent from one time on and no longer at another. */
typedef struct quickthorn_known_fraud {
    uint64_t entity; /* its hash as rows keep it; 0 in an empty place */
    int64_t from_us;
    int64_t until_us;
} quickthorn_known_fraud;

/* All of one field. An entity's entries lie in the first places from (entity >> 32) & mask on, up to an empty one. */
typedef struct quickthorn_known_frauds {
    const quickthorn_known_fraud* entries; /* null where the field is not looked up */
    int64_t mask;
} quickthorn_known_frauds;

/* Writes a row's columns, from the 8th byte on, from the event. */
typedef void (*quickthorn_fill_function)(const quickthorn_slot* slots, const void* hashes, void* row);

/* Brings the state to `now_us` and writes the group's values to values[value_first .. value_first + value_count).
 * `with_current` is 1 when expressions declared with include_current are to count the event in `slots`, else 0.
 * `scratch` is `record_bytes` of memory whose contents mean nothing; `frauds` has a quickthorn_known_frauds for each
 * field. */
typedef void (*quickthorn_read_function)(void* state, void* scratch, const void* rows, int64_t mask, int64_t first,
                                         int64_t last, int64_t now_us, int64_t with_current,
                                         const quickthorn_slot* slots, const void* hashes,
                                         const quickthorn_known_frauds* frauds, double* values);

/* Tells the state that a late row was put in at `position`, the rows from there on having moved up by one.
 * Not called for a row appended at the end. */
typedef void (*quickthorn_absorb_function)(void* state, const void* rows, int64_t mask, int64_t position);

/* Tells the state that the oldest row, at `position`, is about to leave the ring. */
typedef void (*quickthorn_release_function)(void* state, const void* rows, int64_t mask, int64_t position);

/* Tells the state that no row can come before one of `until_us` or older any more. Called after every stored row. */
typedef void (*quickthorn_fold_function)(void* state, const void* rows, int64_t mask, int64_t last, int64_t until_us);

/* Tells the state that the label of the row at `position` is about to change (`sign` -1), or has changed (1). */
typedef void (*quickthorn_label_function)(void* state, const void* rows, int64_t mask, int64_t position, int64_t sign);

/* One entity of the event at hand, as it stands among what a component links. */
typedef struct quickthorn_member {
    int64_t present;   /* 0 where the event lacks this entity, and then the rest means nothing */
    int64_t component; /* a number for the component it belongs to, 0 where it was never seen */
    int64_t joined;    /* the first of the event's entities that it is together with once the event is stored */
    int64_t size;      /* how many entities its component has, 0 where it has none; so with the rest */
    int64_t first_us;  /* the time of the component's first event, and of its newest */
    int64_t newest_us;
    int64_t fraud_count; /* how many of its events are known to be fraud, where labels are kept */
} quickthorn_member;

/* Writes a component's values to values[value_first .. value_first + value_count), from what the event's entities
 * belong to, in the order of `entity_slots`. */
typedef void (*quickthorn_members_function)(const quickthorn_member* members, int64_t now_us, int64_t with_current,
                                            double* values);

/* Writes what is read of one source's signal about an entity of the event to values[value_first .. value_first +
 * value_count). `signal` is its event time, int64, and then a slot for each value of the source; it is null where
 * `known` is 0. */
typedef void (*quickthorn_signal_function)(const void* signal, int64_t known, int64_t now_us, double* values);

/* Computes the feature vector from the event row and all values. */
typedef void (*quickthorn_derive_function)(const quickthorn_slot* slots, const double* values, double* features);

/* The forest's functions. A row holds feature_count values, NaN where missing; margins are output_count values, leaves
 * tree_count. In a batch, row r's feature f is rows[r * row_stride + f * feature_stride], and the margins of one row
 * follow those of the row before. `margin` is that of the first output. Contributions are feature_count + 1 values for
 * each output: what every feature adds to the margin, and last the margin that is to be expected of no row known. */
typedef double (*quickthorn_margin_function)(const double* row);
typedef void (*quickthorn_margins_function)(const double* row, double* margins);
typedef void (*quickthorn_margins_f32_function)(const float* row, double* margins);
typedef void (*quickthorn_leaves_function)(const double* row, int32_t* leaves);
typedef void (*quickthorn_contributions_function)(const double* row, double* contributions);
typedef void (*quickthorn_batch_function)(const double* rows, ptrdiff_t row_stride, ptrdiff_t feature_stride,
                                          uint64_t row_count, double* margins);
typedef void (*quickthorn_batch_f32_function)(const float* rows, ptrdiff_t row_stride, ptrdiff_t feature_stride,
                                              uint64_t row_count, double* margins);

/* Everything kept by one entity field, or by several that are a key together. */
typedef struct quickthorn_group {
    const uint32_t* entity_slots;
    uint32_t entity_count;
    uint32_t state_bytes;
    uint32_t record_bytes;
    uint32_t row_bytes;
    uint32_t value_first;
    uint32_t value_count;
    int64_t horizon_us; /* the longest delay + window: a row this old or older has left every window */
    quickthorn_fill_function fill;
    quickthorn_read_function read;
    quickthorn_absorb_function absorb;
    quickthorn_release_function release;
    quickthorn_fold_function fold; /* null where nothing outlives its window */
    /* Where in the state each window keeps the positions of its first row and of the one after its last, int64 both:
     * looked at to have those rows fetched before `read` runs. */
    const uint32_t* window_offsets;
    uint32_t window_count;
    uint32_t label_offset;           /* of the quickthorn_row_label in a row; 0 where rows have none */
    quickthorn_label_function label; /* null where rows have no label */
} quickthorn_group;

/* What links the entities of several fields: those of one event belong to one component. */
typedef struct quickthorn_component {
    const uint32_t* entity_slots;
    uint32_t entity_count;
    uint32_t cap; /* most entities of one component */
    uint32_t value_first;
    uint32_t value_count;
    quickthorn_members_function read;
    uint32_t keeps_labels; /* 1 where frauds are counted, else 0 */
    uint32_t reserved;
} quickthorn_component;

/* Who is looked up among the signals of a source. Sources are numbered from 0 in the order of their first use. */
typedef struct quickthorn_signal {
    uint32_t source;
    uint32_t slot_count; /* values that the source gives, the same in all uses of it */
    uint32_t entity_slot;
    uint32_t value_first;
    uint32_t value_count;
    uint32_t reserved;
    quickthorn_signal_function read;
} quickthorn_signal;

/* A compiled forest. */
typedef struct quickthorn_forest {
    uint32_t feature_count;
    uint32_t tree_count;
    uint32_t output_count;
    uint32_t reserved;
    quickthorn_margin_function margin;
    quickthorn_margins_function margins;
    quickthorn_margins_f32_function margins_f32;
    quickthorn_leaves_function leaves;
    quickthorn_batch_function batch;
    quickthorn_batch_f32_function batch_f32;
    quickthorn_contributions_function contributions; /* null where the forest was compiled without */
} quickthorn_forest;

/* What a policy's conditions can ask about beside the event and its features; NaN where there is none. */
typedef struct quickthorn_scored {
    double score;
    double aligned_score;
    double margin;
} quickthorn_scored;

/* Which of a policy's conditions hold; a place that is the number of its kind says that none does. */
typedef struct quickthorn_matches {
    double expected_loss; /* NaN where the policy has none, or its amount is missing */
    uint32_t rule;        /* the first allow or block rule, in their order of precedence */
    uint32_t cap;         /* the first exceeded cap, the severest first */
    uint32_t segment;     /* the first segment */
    uint32_t explorable;  /* 1 where the event may be given an outcome by chance, else 0 */
} quickthorn_matches;

typedef void (*quickthorn_match_function)(const quickthorn_slot* slots, const double* features,
                                          const quickthorn_scored* scored, quickthorn_matches* matches);

/* A policy's conditions. */
typedef struct quickthorn_policy {
    uint32_t rule_count;
    uint32_t cap_count;
    uint32_t segment_count;
    uint32_t uses_aligned_score; /* 1 where `match` or a threshold asks for it, else 0 */
    quickthorn_match_function match;
} quickthorn_policy;

typedef struct quickthorn_library {
    uint32_t abi_version; /* QUICKTHORN_ABI_VERSION; read before anything else */
    uint32_t struct_bytes;
    uint32_t slot_count;
    uint32_t group_count;
    uint32_t value_count;
    uint32_t feature_count;
    uint32_t hashed_count;
    uint32_t component_count;
    uint32_t fraud_count;
    uint32_t signal_count;
    const uint32_t* hashed_slots; /* categories and texts of which a hash is wanted */
    const quickthorn_group* groups;
    const quickthorn_component* components;
    const uint32_t* fraud_slots; /* entities that are looked up for being known to be fraudulent */
    const quickthorn_signal* signals;
    quickthorn_derive_function derive; /* null in the library of a forest alone */
    const quickthorn_forest* forest;   /* null in the library of features alone */
    const quickthorn_policy* policy;   /* null where the policy has no condition */
} quickthorn_library;

#ifdef __cplusplus
}
static_assert(sizeof(void*) == 8, "the library layout is for 64-bit targets");
static_assert(sizeof(quickthorn_text) == 16, "quickthorn_text is part of the bundle ABI");
static_assert(sizeof(quickthorn_row_label) == 24, "quickthorn_row_label is part of the bundle ABI");
static_assert(sizeof(quickthorn_group) == 104, "quickthorn_group is part of the bundle ABI");
static_assert(sizeof(quickthorn_forest) == 72, "quickthorn_forest is part of the bundle ABI");
static_assert(sizeof(quickthorn_member) == 56, "quickthorn_member is part of the bundle ABI");
static_assert(sizeof(quickthorn_component) == 40, "quickthorn_component is part of the bundle ABI");
static_assert(sizeof(quickthorn_signal) == 32, "quickthorn_signal is part of the bundle ABI");
static_assert(sizeof(quickthorn_policy) == 24, "quickthorn_policy is part of the bundle ABI");
static_assert(sizeof(quickthorn_library) == 104, "quickthorn_library is part of the bundle ABI");
#endif

#endif
