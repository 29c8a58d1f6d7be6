/* Calls one function of the hot path 1000 times, for callgrind to count: `cargo xtask test c-abi`.
 *
 *     count PATH resolve|address|cached|setting|round_robin|weighted|smooth|maglev|power_of_two|where|where_far, over the service `oms` */

#include <stdio.h>
#include <string.h>

#include <resolver.h>

enum { CALLS = 1000 };

static int picks(const resolver_segment *segment, uint64_t handle, int32_t kind) {
    resolver_picker *picker;
    resolver_endpoint endpoint;
    uint64_t key;
    if (resolver_picker_new(kind, 0, &picker) != RESOLVER_OK) {
        return 1;
    }
    for (key = 0; key < CALLS; key++) {
        if (resolver_pick(segment, picker, handle, key, &endpoint) != RESOLVER_OK) {
            return 1;
        }
    }
    resolver_picker_free(picker);
    return 0;
}

static uint64_t load_of(const resolver_endpoint *endpoint, void *user) {
    return endpoint->id ^ *(const uint64_t *)user;
}

static int less_loaded(const resolver_segment *segment, uint64_t handle) {
    resolver_picker *picker;
    resolver_endpoint endpoint;
    uint64_t loads = 7;
    int call;
    if (resolver_picker_new(RESOLVER_PICKER_POWER_OF_TWO, 0, &picker) != RESOLVER_OK) {
        return 1;
    }
    for (call = 0; call < CALLS; call++) {
        if (resolver_pick_less_loaded(segment, picker, handle, load_of, &loads, &endpoint) != RESOLVER_OK) {
            return 1;
        }
    }
    resolver_picker_free(picker);
    return 0;
}

/* Each in turn among those of a zone, which all are, and of a tag, which all have, or a second one, which the last of eight has alone:
 * then each pick looks at all eight. */
static int some(const resolver_segment *segment, uint64_t handle, uint64_t tags) {
    resolver_picker *picker;
    resolver_endpoint endpoint;
    resolver_conditions conditions;
    int call;
    memset(&conditions, 0, sizeof conditions);
    conditions.tags = tags;
    conditions.of_zone = true;
    conditions.zone = 3;
    if (resolver_picker_new(RESOLVER_PICKER_ROUND_ROBIN, 0, &picker) != RESOLVER_OK) {
        return 1;
    }
    for (call = 0; call < CALLS; call++) {
        if (resolver_pick_where(segment, picker, handle, 0, &conditions, &endpoint) != RESOLVER_OK) {
            return 1;
        }
    }
    resolver_picker_free(picker);
    return 0;
}

static int cached(const resolver_segment *segment, uint64_t handle) {
    resolver_cached *cached;
    resolver_record record;
    int call;
    if (resolver_cached_new(segment, handle, &cached) != RESOLVER_OK) {
        return 1;
    }
    for (call = 0; call < CALLS; call++) {
        if (resolver_cached_resolve(cached, &record) != RESOLVER_OK) {
            return 1;
        }
    }
    resolver_cached_free(cached);
    return 0;
}

int main(int count, char **arguments) {
    resolver_segment *segment;
    resolver_i64_setting limit;
    resolver_record record;
    resolver_address address;
    int64_t value;
    uint64_t handle;
    int call;
    if (count != 3 || resolver_open(arguments[1], -1, &segment) != RESOLVER_OK ||
        resolver_service(segment, "oms", 3, &handle) != RESOLVER_OK ||
        resolver_setting_i64(segment, "limit", 5, &limit) != RESOLVER_OK) {
        fprintf(stderr, "usage: count PATH FUNCTION, with a service `oms` and a setting `limit` published at PATH\n");
        return 2;
    }
    if (strcmp(arguments[2], "resolve") == 0) {
        for (call = 0; call < CALLS; call++) {
            if (resolver_resolve(segment, handle, &record) != RESOLVER_OK) {
                return 1;
            }
        }
        return 0;
    }
    if (strcmp(arguments[2], "address") == 0) {
        for (call = 0; call < CALLS; call++) {
            if (resolver_resolve_address(segment, handle, &address) != RESOLVER_OK) {
                return 1;
            }
        }
        return 0;
    }
    if (strcmp(arguments[2], "setting") == 0) {
        for (call = 0; call < CALLS; call++) {
            if (resolver_get_i64(segment, limit, &value) != RESOLVER_OK) {
                return 1;
            }
        }
        return 0;
    }
    if (strcmp(arguments[2], "cached") == 0) {
        return cached(segment, handle);
    }
    if (strcmp(arguments[2], "power_of_two") == 0) {
        return less_loaded(segment, handle);
    }
    if (strcmp(arguments[2], "where") == 0) {
        return some(segment, handle, 1);
    }
    if (strcmp(arguments[2], "where_far") == 0) {
        return some(segment, handle, 3);
    }
    if (strcmp(arguments[2], "round_robin") == 0) {
        return picks(segment, handle, RESOLVER_PICKER_ROUND_ROBIN);
    }
    if (strcmp(arguments[2], "weighted") == 0) {
        return picks(segment, handle, RESOLVER_PICKER_WEIGHTED);
    }
    if (strcmp(arguments[2], "smooth") == 0) {
        return picks(segment, handle, RESOLVER_PICKER_SMOOTH);
    }
    if (strcmp(arguments[2], "maglev") == 0) {
        return picks(segment, handle, RESOLVER_PICKER_MAGLEV);
    }
    return 2;
}
