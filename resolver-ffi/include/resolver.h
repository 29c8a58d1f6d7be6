/* The C ABI of resolver: the address of a service in nanoseconds, from a segment that an agent publishes.
 *
 * C11 and C++17. Made from resolver-ffi/src; renew it with
 *     RENEW_HEADER=1 cargo test -p resolver-ffi --test header
 *
 * Every function may be called with null; it then says RESOLVER_NULL, or does nothing. What
 * is said of codes leaves the RESOLVER_ out. Functions of the hot path say so; all others may allocate or ask the system. */

#ifndef RESOLVER_H
#define RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifndef RESOLVER_NO_SOCKADDR
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#endif

/**
 * Version of this ABI. A program compares it with what the function of the same name gives.
 */
#define RESOLVER_ABI_VERSION 1

/**
 * What an age or a silence is where it is unknown: no beat of the publisher was seen yet.
 */
#define RESOLVER_UNKNOWN_AGE UINT64_MAX

/**
 * What a function returns. The numbers never change.
 */
enum resolver_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done.
     */
    RESOLVER_OK = 0,
    /**
     * A pointer is null that must not be.
     */
    RESOLVER_NULL = 1,
    /**
     * A length is out of bounds: a name has 1 to 255 bytes, a path 1 to 4095.
     */
    RESOLVER_LENGTH = 2,
    /**
     * A name is not UTF-8.
     */
    RESOLVER_UTF8 = 3,
    /**
     * A number is not one that this function takes.
     */
    RESOLVER_ARGUMENT = 4,
    /**
     * The name is known, but no set (or value) was ever published under it.
     */
    RESOLVER_NEVER = 10,
    /**
     * The registry has confirmed that the service has no instance, or the setting no value.
     */
    RESOLVER_EMPTY = 11,
    /**
     * The service or setting was removed, or the handle is of another segment. Look the name up again, off the hot path.
     */
    RESOLVER_GONE = 12,
    /**
     * The writer overtook this read 16 times. The last answer is still the newest that was seen.
     */
    RESOLVER_BUSY = 13,
    /**
     * All candidates have failed.
     */
    RESOLVER_NONE_ACCEPTED = 14,
    /**
     * The set was published without the table that this picker needs.
     */
    RESOLVER_NO_TABLE = 15,
    /**
     * There is an answer (it was written), but it may be older than was asked for.
     */
    RESOLVER_OLD = 16,
    /**
     * The segment has no such name.
     */
    RESOLVER_UNKNOWN = 17,
    /**
     * The setting is of another kind.
     */
    RESOLVER_KIND = 18,
    /**
     * The system refused something; is the agent running, and may this user read its segment?
     */
    RESOLVER_IO = 20,
    /**
     * The file is not one that may be trusted: its kind, owner, mode or links are wrong.
     */
    RESOLVER_UNTRUSTED = 21,
    /**
     * The file is no table of a layout that this library reads.
     */
    RESOLVER_TABLE = 22,
    /**
     * The path leads to another segment by now, or to none: open it again, look names up again, release this one.
     */
    RESOLVER_REPLACED = 23,
    /**
     * There was no segment until the deadline; the message says what is not there.
     */
    RESOLVER_MISSING = 24,
    /**
     * A defect of this library: a panic was caught. Please report it.
     */
    RESOLVER_INTERNAL = 90,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum resolver_code resolver_code;
#else
typedef int32_t resolver_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a picker goes by. The same set, seed and keys give the same picks here as in Rust, in every process.
 */
enum resolver_picker_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Each in turn. The seed is the place that it begins at.
     */
    RESOLVER_PICKER_ROUND_ROBIN = 1,
    /**
     * Each in turn, as often as its weight says, in an order that the publisher made. The seed is the step that it begins at.
     */
    RESOLVER_PICKER_SMOOTH = 2,
    /**
     * Any, each as likely as its weight says. The seed is where its sequence begins: give each thread its own.
     */
    RESOLVER_PICKER_WEIGHTED = 3,
    /**
     * By key, from a table that the publisher made (Maglev hashing).
     */
    RESOLVER_PICKER_MAGLEV = 4,
    /**
     * By key, by highest random weight over the whole set.
     */
    RESOLVER_PICKER_RENDEZVOUS = 5,
    /**
     * Stays with one until `resolver_picker_failed`, then takes the next; reserves come last.
     */
    RESOLVER_PICKER_FAILOVER = 6,
    /**
     * Any, each as likely. The seed is as for `WEIGHTED`.
     */
    RESOLVER_PICKER_RANDOM = 7,
    /**
     * The less loaded of two that are drawn; for `resolver_pick_less_loaded` alone. The seed is as for `WEIGHTED`.
     */
    RESOLVER_PICKER_POWER_OF_TWO = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum resolver_picker_kind resolver_picker_kind;
#else
typedef int32_t resolver_picker_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a service stands, as its publisher last said.
 */
enum resolver_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing was ever published under this name.
     */
    RESOLVER_STATE_NEVER = 0,
    /**
     * As the registry has it, confirmed within the source's bound.
     */
    RESOLVER_STATE_FRESH = 1,
    /**
     * The last good set; the registry could not confirm it lately.
     */
    RESOLVER_STATE_STALE = 2,
    /**
     * The registry has confirmed that there is no instance.
     */
    RESOLVER_STATE_EMPTY = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum resolver_state resolver_state;
#else
typedef uint8_t resolver_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a service is not simply as the registry has it.
 */
enum resolver_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing to explain.
     */
    RESOLVER_REASON_NONE = 0,
    /**
     * The registry does not answer.
     */
    RESOLVER_REASON_UNREACHABLE = 1,
    /**
     * The token may not read the service.
     */
    RESOLVER_REASON_ACL = 2,
    /**
     * The registry has no leader.
     */
    RESOLVER_REASON_NO_LEADER = 3,
    /**
     * An empty or strongly shrunken answer that no second, consistent read has confirmed yet.
     */
    RESOLVER_REASON_UNCONFIRMED = 4,
    /**
     * The registry went back to an older revision, or is another cluster.
     */
    RESOLVER_REASON_REGRESSED = 5,
    /**
     * Every record of the service was refused.
     */
    RESOLVER_REASON_BAD_RECORDS = 6,
    /**
     * The new set does not fit the table.
     */
    RESOLVER_REASON_CAPACITY = 7,
    /**
     * From a predecessor or from disk; the registry has not spoken yet.
     */
    RESOLVER_REASON_RESTORED = 8,
    /**
     * The answer could not be understood or went over a limit.
     */
    RESOLVER_REASON_BAD_ANSWER = 9,
    /**
     * Too few instances are healthy, so all that are known serve. The set may be fresh.
     */
    RESOLVER_REASON_PANIC = 10,
    /**
     * An operator took every endpoint out, so the service is empty.
     */
    RESOLVER_REASON_KILLED = 11,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum resolver_reason resolver_reason;
#else
typedef uint8_t resolver_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A handle of one thread with a private copy of its last answer: one load and one comparison while nothing changed. For a
 * handle that is asked all the time.
 */
typedef struct resolver_cached resolver_cached;

/**
 * Endpoints that one thread leaves out for a while: its own judgement, of which nobody else is told. Times are nanoseconds of
 * any clock of this thread that only goes forward.
 */
typedef struct resolver_ejections resolver_ejections;

/**
 * Watches the publisher's pulse for one thread.
 */
typedef struct resolver_liveness resolver_liveness;

/**
 * A picker, of one thread and one service: its cursor lies in it, and nothing that is shared is written.
 */
typedef struct resolver_picker resolver_picker;

/**
 * A mapped segment, counted: every thread may use it, and the mapping stays until the last reference is released.
 */
typedef struct resolver_segment resolver_segment;

/**
 * An address and port, and how its service stands. `resolver_ip_bytes`, `resolver_sockaddr`,
 * `resolver_state_of` and `resolver_reason_of` read what is not plain.
 */
typedef struct {
    /**
     * The IP address as a number: IPv4 in the first; of IPv6 the high half in the first.
     */
    uint64_t ip[2];
    /**
     * Not for use.
     */
    uint32_t reserved;
    /**
     * The port, in the machine's byte order.
     */
    uint16_t port;
    /**
     * 4 or 6.
     */
    uint8_t family;
    /**
     * State and reason.
     */
    uint8_t standing;
} resolver_address;

/**
 * A service's primary endpoint, and how the service stands.
 */
typedef struct {
    /**
     * Its address.
     */
    resolver_address address;
    /**
     * Identifies the instance within its service, across changes of address.
     */
    uint64_t id;
    /**
     * One bit for each tag; what each bit means is the publisher's word.
     */
    uint64_t tags;
    /**
     * The publication. It only ever grows, over the whole segment.
     */
    uint64_t generation;
    /**
     * Not for use.
     */
    uint32_t reserved;
    /**
     * Tier of the endpoint; 0 is asked first.
     */
    uint8_t tier;
    /**
     * Read it with `resolver_source_of`.
     */
    uint8_t source_bits;
    /**
     * Active endpoints of the set: those that there are to be picked.
     */
    uint16_t endpoints;
    /**
     * Of the service's cell, when it was read: `resolver_is_current` looks at it.
     */
    uint64_t sequence;
} resolver_record;

/**
 * One endpoint of a set, as a picker gives it.
 */
typedef struct {
    /**
     * As in `resolver_address`.
     */
    uint64_t ip[2];
    /**
     * Not for use.
     */
    uint16_t reserved;
    /**
     * A number for the zone; 0 is unknown.
     */
    uint16_t zone;
    /**
     * The port, in the machine's byte order.
     */
    uint16_t port;
    /**
     * 4 or 6.
     */
    uint8_t family;
    /**
     * 0 is asked first.
     */
    uint8_t tier;
    /**
     * Identifies the instance within its service, across changes of address.
     */
    uint64_t id;
    /**
     * One bit for each tag.
     */
    uint64_t tags;
    /**
     * Not for use.
     */
    uint32_t reserved2;
    /**
     * Relative share of the traffic.
     */
    uint32_t weight;
    /**
     * The publication of the set that it belongs to.
     */
    uint64_t generation;
} resolver_endpoint;

/**
 * Which endpoints may be picked: those that meet all of these. All zero: any. It may be kept and used again.
 */
typedef struct {
    /**
     * All of these tag bits; 0 for any.
     */
    uint64_t tags;
    /**
     * Whether it is to be of the zone below.
     */
    bool of_zone;
    /**
     * 0.
     */
    uint8_t reserved;
    /**
     * The zone's number.
     */
    uint16_t zone;
    /**
     * 0.
     */
    uint32_t reserved2;
    /**
     * Not those that are left out here at `now_ns`; null for none.
     */
    const resolver_ejections *ejections;
    /**
     * The caller's clock, as for `resolver_eject`.
     */
    uint64_t now_ns;
    /**
     * Those that this is true of; null for all. It is called for endpoints of a set until there are enough, within the
     * pick: it must return, throw nothing, and not use the picker.
     */
    bool (*accept)(const resolver_endpoint *endpoint, void *user);
    /**
     * What `accept` is given.
     */
    void *user;
} resolver_conditions;

/**
 * One distinct error of the publisher's.
 */
typedef struct {
    /**
     * How often it came, since it is in the log.
     */
    uint64_t count;
    /**
     * When it came first, in milliseconds since 1970.
     */
    uint64_t first_ms;
    /**
     * When it came last, in milliseconds since 1970.
     */
    uint64_t last_ms;
    /**
     * A number for its kind; `resolver_incident_kind` has its name.
     */
    uint8_t kind;
    /**
     * Whether its words were longer.
     */
    bool is_cut;
    /**
     * 0.
     */
    uint8_t reserved[6];
    /**
     * What it is about (a source, a service), with a zero at its end.
     */
    char about[280];
    /**
     * What went wrong, with a zero at its end.
     */
    char words[280];
} resolver_incident;

/**
 * How a service stands, whether or not it has an endpoint.
 */
typedef struct {
    /**
     * The publication.
     */
    uint64_t generation;
    /**
     * A `RESOLVER_STATE_`.
     */
    uint8_t state;
    /**
     * A `RESOLVER_REASON_`.
     */
    uint8_t reason;
    /**
     * Number of the source.
     */
    uint8_t source;
    /**
     * 0.
     */
    uint8_t reserved[5];
} resolver_standing;

/**
 * A setting that is a whole number with a sign.
 */
typedef struct {
    /**
     * Not for use.
     */
    uint64_t bits;
} resolver_i64_setting;

/**
 * A setting that is a number with a binary point.
 */
typedef struct {
    /**
     * Not for use.
     */
    uint64_t bits;
} resolver_f64_setting;

/**
 * A setting that is yes or no.
 */
typedef struct {
    /**
     * Not for use.
     */
    uint64_t bits;
} resolver_bool_setting;

/**
 * A setting that is up to 48 bytes.
 */
typedef struct {
    /**
     * Not for use.
     */
    uint64_t bits;
} resolver_bytes_setting;

/**
 * A value of up to 48 bytes.
 */
typedef struct {
    /**
     * The bytes; zeros behind the last one.
     */
    uint8_t bytes[48];
    /**
     * How many there are.
     */
    uint8_t length;
} resolver_bytes;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI version of the library that is linked. Where it is not `RESOLVER_ABI_VERSION`, the program was compiled against
 * another one: refuse to start.
 */
uint32_t resolver_abi_version(void);

/**
 * A cached handle; freed with `resolver_cached_free`. Holds a reference to its segment until then. Off the hot path. (A handle
 * that means nothing is found out when it is resolved.)
 *
 * Required:
 *
 * `segment` is null or one that is not released; `out` is null or may be written.
 */
resolver_code resolver_cached_new(const resolver_segment *segment,
                                  uint64_t handle,
                                  resolver_cached **out);

/**
 * Frees a cached handle, and gives its reference to the segment back. Null is left alone.
 *
 * Required:
 *
 * `cached` is null, or came from `resolver_cached_new` and is not used again.
 */
void resolver_cached_free(resolver_cached *cached);

/**
 * As `resolver_resolve` with the handle. The hot path.
 *
 * Required:
 *
 * `cached` is null or one that is not freed, and that no other thread uses meanwhile; `out` is null or may be written.
 */
resolver_code resolver_cached_resolve(resolver_cached *cached,
                                      resolver_record *out);

/**
 * As `resolver_pick`, among the endpoints that meet conditions. For `ROUND_ROBIN` (the next of them), `RANDOM` (each as
 * likely), `RENDEZVOUS` (the key's; where that is not among them, the one that would be the key's without it) and `FAILOVER`
 * (what does not meet them counts as failed); `ARGUMENT` for another kind. No lock, no allocation, no system call; it looks
 * at the whole set, at most 16 times.
 *
 * Fails as `resolver_pick`, and with `NONE_ACCEPTED`.
 *
 * Required:
 *
 * As `resolver_pick`; `conditions` is null or may be read, what it leads to is null or there, and `accept` may be called.
 */
resolver_code resolver_pick_where(const resolver_segment *segment,
                                  resolver_picker *picker,
                                  uint64_t handle,
                                  uint64_t key,
                                  const resolver_conditions *conditions,
                                  resolver_endpoint *out);

/**
 * Picks the one of two endpoints, drawn at random, that has the lower load by the caller's word: `load` is called for both,
 * with `user`, within the pick. It must return, throw nothing, and not use the picker. The picker is a `POWER_OF_TWO`;
 * `ARGUMENT` for another kind. The hot path.
 *
 * Fails as `resolver_resolve`.
 *
 * Required:
 *
 * As `resolver_pick`; `load` is null or may be called.
 */
resolver_code resolver_pick_less_loaded(const resolver_segment *segment,
                                        resolver_picker *picker,
                                        uint64_t handle,
                                        uint64_t (*load)(const resolver_endpoint *endpoint, void *user),
                                        void *user,
                                        resolver_endpoint *out);

/**
 * What a code says, in English; it lives for ever and is never null.
 */
const char *resolver_error_text(int32_t code);

/**
 * Room for 64 endpoints, of which at most so many percent of a set are left out at a time (one always may be, of a set of two
 * or more, and the last one never is); freed with `resolver_ejections_free`. Off the hot path. `ARGUMENT` for more than 100.
 *
 * Required:
 *
 * `out` is null or may be written.
 */
resolver_code resolver_ejections_new(uint8_t most_percent,
                                     resolver_ejections **out);

/**
 * Frees ejections. Null is left alone.
 *
 * Required:
 *
 * `ejections` is null, or came from `resolver_ejections_new` and is not used again.
 */
void resolver_ejections_free(resolver_ejections *ejections);

/**
 * Leaves an endpoint out until `until_ns`, by its id; `endpoints` is how many there are to pick from (of a record). `OK`, or
 * `NONE_ACCEPTED` where too many are out already.
 *
 * Required:
 *
 * `ejections` is null or one that is not freed, and that no other thread uses meanwhile; `endpoint` is null or may be read.
 */
resolver_code resolver_eject(resolver_ejections *ejections,
                             const resolver_endpoint *endpoint,
                             uint64_t now_ns,
                             uint64_t until_ns,
                             size_t endpoints);

/**
 * Whether an endpoint is left out at this time. `false` for null.
 *
 * Required:
 *
 * As `resolver_eject`.
 */
bool resolver_is_ejected(const resolver_ejections *ejections,
                         const resolver_endpoint *endpoint,
                         uint64_t now_ns);

/**
 * Takes all of them back. Null is left alone.
 *
 * Required:
 *
 * As `resolver_eject`.
 */
void resolver_ejections_clear(resolver_ejections *ejections);

/**
 * A liveness that knows nothing yet; freed with `resolver_liveness_free`. Off the hot path.
 *
 * Required:
 *
 * `out` is null or may be written.
 */
resolver_code resolver_liveness_new(resolver_liveness **out);

/**
 * Frees a liveness. Null is left alone.
 *
 * Required:
 *
 * `liveness` is null, or came from `resolver_liveness_new` and is not used again.
 */
void resolver_liveness_free(resolver_liveness *liveness);

/**
 * Looks at the pulse, at this moment of the caller's clock. Poll at least as often as the shortest age that is asked for: a
 * beat counts as old as the poll before it. No system call.
 *
 * Required:
 *
 * `liveness` is null or one that is not freed, and that no other thread uses meanwhile; `segment` is null or one that is not
 * released.
 */
resolver_code resolver_liveness_poll(resolver_liveness *liveness,
                                     const resolver_segment *segment,
                                     uint64_t now_ns);

/**
 * How long the publisher was silent at the last poll, at most, in nanoseconds; `RESOLVER_UNKNOWN_AGE` while no beat was seen.
 *
 * Required:
 *
 * As `resolver_liveness_poll`.
 */
uint64_t resolver_liveness_silence(const resolver_liveness *liveness);

/**
 * How old a source's word was at the last poll, at most, in nanoseconds; `RESOLVER_UNKNOWN_AGE` while that is unknown.
 *
 * Required:
 *
 * As `resolver_liveness_poll`.
 */
uint64_t resolver_liveness_age(const resolver_liveness *liveness,
                               uint8_t source);

/**
 * As `resolver_resolve`, but `OLD` where the answer may be older than `max_age_ns` or is not fresh: `out` is written then
 * too, for a caller who prefers it to none, and `age_ns` (unless it is null) says how old it may be, or
 * `RESOLVER_UNKNOWN_AGE`. The hot path.
 *
 * Required:
 *
 * As `resolver_resolve` and `resolver_liveness_poll`; `age_ns` is null or may be written.
 */
resolver_code resolver_resolve_fresh(const resolver_segment *segment,
                                     uint64_t handle,
                                     uint64_t max_age_ns,
                                     const resolver_liveness *liveness,
                                     resolver_record *out,
                                     uint64_t *age_ns);

/**
 * The set's text: a JSON array with an object for each endpoint, in the set's order, its `id` and `tags` in it. As many bytes as there
 * is `room` for, without a zero, while `length` says how many there are. `buffer` may be null where `room` is 0.
 *
 * Fails as `resolver_resolve`; what was written to `buffer` is then of no use.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `buffer` is null or `room` bytes from it on may be written; `length` is null
 * or may be written.
 */
resolver_code resolver_text(const resolver_segment *segment,
                            uint64_t handle,
                            char *buffer,
                            size_t room,
                            size_t *length);

/**
 * The name of a source by its number, cut to `room` bytes, the zero at its end included (25 are enough). `UNKNOWN` where
 * there is none.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `buffer` is null or `room` bytes from it on may be written.
 */
resolver_code resolver_source_name(const resolver_segment *segment,
                                   uint8_t number,
                                   char *buffer,
                                   size_t room);

/**
 * One of the publisher's counters, since the segment was created: it only grows. Numbers are from 0 on;
 * `resolver_counter_name` has their names. 0 for a number that there is not, and for null.
 *
 * Required:
 *
 * `segment` is null or one that is not released.
 */
uint64_t resolver_counter(const resolver_segment *segment, uint8_t number);

/**
 * The name of a counter, cut to `room` bytes, the zero at its end included (32 are enough). `UNKNOWN` for the first number that
 * there is not.
 *
 * Required:
 *
 * `buffer` is null or `room` bytes from it on may be written.
 */
resolver_code resolver_counter_name(uint8_t number,
                                    char *buffer,
                                    size_t room);

/**
 * The name of an incident's kind, as `resolver_counter_name`.
 *
 * Required:
 *
 * As `resolver_counter_name`.
 */
resolver_code resolver_incident_kind(uint8_t kind, char *buffer, size_t room);

/**
 * The publisher's log of distinct errors, in no order: as many as there is `room` for, while `count` says how many there are.
 * `incidents` may be null where `room` is 0. Each is of one moment; one that is being written at this moment is left out.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `incidents` is null or `room` of them may be written; `count` is null or may
 * be written.
 */
resolver_code resolver_incidents(const resolver_segment *segment,
                                 resolver_incident *incidents,
                                 size_t room,
                                 size_t *count);

/**
 * A picker of a `RESOLVER_PICKER_` kind; freed with `resolver_picker_free`. Off the hot path. `ARGUMENT` for a kind that there
 * is not.
 *
 * Required:
 *
 * `out` is null or may be written.
 */
resolver_code resolver_picker_new(int32_t kind,
                                  uint64_t seed,
                                  resolver_picker **out);

/**
 * Frees a picker. Null is left alone.
 *
 * Required:
 *
 * `picker` is null, or came from `resolver_picker_new` and is not used again.
 */
void resolver_picker_free(resolver_picker *picker);

/**
 * Picks an endpoint of the service's set. The hot path: no lock, no allocation, no system call. `key` is for kinds that go by
 * key (an account, the hash of a text); others do not look at it.
 *
 * Fails as `resolver_resolve`, and with `NO_TABLE` (`MAGLEV`, `SMOOTH`), `NONE_ACCEPTED` (`FAILOVER`) and `ARGUMENT`
 * (`POWER_OF_TWO`: that is `resolver_pick_less_loaded`'s).
 *
 * Required:
 *
 * `segment` is null or one that is not released; `picker` is null or one that is not freed, and that no other thread uses
 * meanwhile; `out` is null or may be written.
 */
resolver_code resolver_pick(const resolver_segment *segment,
                            resolver_picker *picker,
                            uint64_t handle,
                            uint64_t key,
                            resolver_endpoint *out);

/**
 * The endpoint that a `FAILOVER` picker gave last did not answer: its next pick gives the next candidate. `ARGUMENT` for
 * another kind.
 *
 * Required:
 *
 * As `resolver_pick`.
 */
resolver_code resolver_picker_failed(resolver_picker *picker);

/**
 * A `FAILOVER` picker begins at the primary again. `ARGUMENT` for another kind.
 *
 * Required:
 *
 * As `resolver_pick`.
 */
resolver_code resolver_picker_reset(resolver_picker *picker);

/**
 * The service's primary endpoint, and how the service stands. The hot path: wait-free, one cache line while nothing is
 * being written to this service, no lock, no allocation, no system call, no write but to `out`.
 *
 * Fails with `NEVER`, `EMPTY`, `GONE`, `BUSY`, `NULL`; `out` is then as it was.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `out` is null or may be written.
 */
resolver_code resolver_resolve(const resolver_segment *segment,
                               uint64_t handle,
                               resolver_record *out);

/**
 * The primary endpoint's address and the service's standing alone: fewer loads than `resolver_resolve`. The hot path.
 *
 * Fails as that does.
 *
 * Required:
 *
 * As `resolver_resolve`.
 */
resolver_code resolver_resolve_address(const resolver_segment *segment,
                                       uint64_t handle,
                                       resolver_address *out);

/**
 * Whether a service still stands as this record of it says: one load. `false` may come a moment early, while the same is
 * being said anew; `true` never comes late. `false` for null.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `record` is null or leads to one that this library wrote.
 */
bool resolver_is_current(const resolver_segment *segment,
                         uint64_t handle,
                         const resolver_record *record);

/**
 * The generation of the service's set. Fails as `resolver_resolve`.
 *
 * Required:
 *
 * As `resolver_resolve`.
 */
resolver_code resolver_generation(const resolver_segment *segment, uint64_t handle, uint64_t *out);

/**
 * How the service stands, whether or not it has an endpoint. Cold. Fails with `GONE`, `BUSY`, `NULL`.
 *
 * Required:
 *
 * As `resolver_resolve`.
 */
resolver_code resolver_standing_of(const resolver_segment *segment, uint64_t handle, resolver_standing *out);

/**
 * The service's active endpoints, all of one publication, the primary first: as many as there is `room` for, while `count`
 * says how many there are. `endpoints` may be null where `room` is 0. Cold.
 *
 * Fails as `resolver_resolve`; what was written to `endpoints` is then of no use.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `endpoints` is null or `room` of them may be written; `count` is null or
 * may be written.
 */
resolver_code resolver_endpoints(const resolver_segment *segment,
                                 uint64_t handle,
                                 resolver_endpoint *endpoints,
                                 size_t room,
                                 size_t *count);

/**
 * Maps a segment for reading. `path` ends in a zero; no symbolic link is followed. `owner_uid` is the user that the file
 * must belong to, or -1 for this process's user or root. The segment is released with `resolver_release`.
 *
 * Fails with `NULL`, `LENGTH`, `ARGUMENT`, `IO` (a file that is missing, too), `UNTRUSTED`, `TABLE`.
 *
 * After a `fork` both processes have the segment, each with a count of its own.
 *
 * Required:
 *
 * `path` is null or leads to a text that ends in a zero; `out` is null or may be written.
 */
resolver_code resolver_open(const char *path,
                            int64_t owner_uid,
                            resolver_segment **out);

/**
 * As `resolver_open`; where that fails, writes what was wrong, with the path and what to do, to `message`: cut to `room`
 * bytes, the zero at its end included. On success it is the empty text. `message` may be null.
 *
 * Required:
 *
 * As `resolver_open`, and `message` is null or `room` bytes from it on may be written.
 */
resolver_code resolver_open_with_message(const char *path,
                                         int64_t owner_uid,
                                         resolver_segment **out,
                                         char *message,
                                         size_t room);

/**
 * As `resolver_open_with_message`, for a program that may start before its agent: looks again until there is a segment, for
 * `timeout_ms` at most (a year is the longest); then `MISSING`. What waiting does not mend is told at once. Blocks.
 *
 * Required:
 *
 * As `resolver_open_with_message`.
 */
resolver_code resolver_open_or_wait(const char *path,
                                    int64_t owner_uid,
                                    uint64_t timeout_ms,
                                    resolver_segment **out,
                                    char *message,
                                    size_t room);

/**
 * Another reference to the segment: one more `resolver_release` is due. Null is left alone.
 *
 * Required:
 *
 * `segment` is null, or came from `resolver_open` and has a reference that is not released.
 */
void resolver_retain(const resolver_segment *segment);

/**
 * Gives a reference back. With the last one the segment is unmapped. Null is left alone.
 *
 * Required:
 *
 * As `resolver_retain`; this reference is not used again.
 */
void resolver_release(const resolver_segment *segment);

/**
 * Whether the path still leads to this segment: `OK`, or `REPLACED`. A system call, for the cold path: when
 * `resolver_liveness_silence` grows, or once a second. The segment at hand stays readable, with its last answers.
 *
 * Required:
 *
 * `segment` is null or one that is not released.
 */
resolver_code resolver_poll(const resolver_segment *segment);

/**
 * The handle of a service's name (UTF-8, `length` bytes, no zero needed), to be taken once and kept. Means nothing in
 * another segment. `UNKNOWN` where there is no such name.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `name` is null or `length` bytes from it on may be read; `out` is null or
 * may be written.
 */
resolver_code resolver_service(const resolver_segment *segment,
                               const char *name,
                               size_t length,
                               uint64_t *out);

/**
 * Moves with every publication, anywhere in the segment: a cheap "did anything change?". One load. 0 for a null segment.
 *
 * Required:
 *
 * `segment` is null or one that is not released.
 */
uint64_t resolver_epoch(const resolver_segment *segment);

/**
 * Takes a setting of this kind by its name, once, off the hot path. `UNKNOWN` where there is none, `KIND` where it is of
 * another kind.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `name` is null or `length` bytes from it on may be read; `out` is null or
 * may be written.
 */
resolver_code resolver_setting_i64(const resolver_segment *segment,
                                   const char *name,
                                   size_t length,
                                   resolver_i64_setting *out);

/**
 * As `resolver_setting_i64`.
 *
 * Required:
 *
 * As there.
 */
resolver_code resolver_setting_f64(const resolver_segment *segment,
                                   const char *name,
                                   size_t length,
                                   resolver_f64_setting *out);

/**
 * As `resolver_setting_i64`.
 *
 * Required:
 *
 * As there.
 */
resolver_code resolver_setting_bool(const resolver_segment *segment,
                                    const char *name,
                                    size_t length,
                                    resolver_bool_setting *out);

/**
 * As `resolver_setting_i64`.
 *
 * Required:
 *
 * As there.
 */
resolver_code resolver_setting_bytes(const resolver_segment *segment,
                                     const char *name,
                                     size_t length,
                                     resolver_bytes_setting *out);

/**
 * The setting's value. The hot path, at the price of `resolver_resolve_address`. `NEVER` and `EMPTY` where it has none, `GONE`
 * where it was removed, `BUSY` as there.
 *
 * Required:
 *
 * `segment` is null or one that is not released; `out` is null or may be written.
 */
resolver_code resolver_get_i64(const resolver_segment *segment,
                               resolver_i64_setting setting,
                               int64_t *out);

/**
 * As `resolver_get_i64`.
 *
 * Required:
 *
 * As there.
 */
resolver_code resolver_get_f64(const resolver_segment *segment, resolver_f64_setting setting, double *out);

/**
 * As `resolver_get_i64`.
 *
 * Required:
 *
 * As there.
 */
resolver_code resolver_get_bool(const resolver_segment *segment, resolver_bool_setting setting, bool *out);

/**
 * As `resolver_get_i64`, at the price of `resolver_resolve`.
 *
 * Required:
 *
 * As there.
 */
resolver_code resolver_get_bytes(const resolver_segment *segment,
                                 resolver_bytes_setting setting,
                                 resolver_bytes *out);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* What lies in a record, taken apart when it is asked for. */

/**
 * How the service stands: a RESOLVER_STATE_. What no version wrote is stale.
 */
static inline uint8_t resolver_state_of(const resolver_address *address) {
    uint8_t state = address->standing & 7;
    return state <= RESOLVER_STATE_EMPTY ? state : (uint8_t)RESOLVER_STATE_STALE;
}

/**
 * Why the service is not fresh: a RESOLVER_REASON_.
 */
static inline uint8_t resolver_reason_of(const resolver_address *address) {
    uint8_t reason = address->standing >> 3;
    return reason <= RESOLVER_REASON_KILLED ? reason : (uint8_t)RESOLVER_REASON_BAD_ANSWER;
}

/**
 * Number of the source, 0 to 31.
 */
static inline uint8_t resolver_source_of(const resolver_record *record) {
    return record->source_bits & 31;
}

/**
 * The bytes of an IP address in network order: 4 or 16 of them, which is what it returns. `ip` and `family` are those of a
 * resolver_address or a resolver_endpoint.
 */
static inline size_t resolver_ip_bytes(const uint64_t ip[2], uint8_t family, uint8_t bytes[16]) {
    size_t length = family == 4 ? 4 : 16;
    size_t at;
    for (at = 0; at < length; at++) {
        bytes[at] = length == 4 ? (uint8_t)(ip[0] >> (24 - 8 * at)) : (uint8_t)(ip[at / 8] >> (56 - 8 * (at % 8)));
    }
    return length;
}

#ifndef RESOLVER_NO_SOCKADDR
/**
 * Fills a socket address for connect(), and returns its length.
 */
static inline socklen_t resolver_sockaddr(const uint64_t ip[2], uint8_t family, uint16_t port,
                                          struct sockaddr_storage *storage) {
    uint8_t bytes[16];
    size_t length = resolver_ip_bytes(ip, family, bytes);
    memset(storage, 0, sizeof *storage);
    if (length == 4) {
        struct sockaddr_in v4;
        memset(&v4, 0, sizeof v4);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        memcpy(&v4.sin_addr, bytes, length);
        memcpy(storage, &v4, sizeof v4);
        return (socklen_t)sizeof v4;
    } else {
        struct sockaddr_in6 v6;
        memset(&v6, 0, sizeof v6);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(port);
        memcpy(&v6.sin6_addr, bytes, length);
        memcpy(storage, &v6, sizeof v6);
        return (socklen_t)sizeof v6;
    }
}
#endif

#endif  /* RESOLVER_H */
