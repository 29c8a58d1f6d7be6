/* Resolves a service, and picks from it: what a router does with a segment.
 *
 *     cc -std=c11 resolve.c $(pkg-config --cflags --libs resolver) -o resolve && ./resolve PATH SERVICE SETTING */

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <resolver.h>

static int failed(const char *doing, resolver_code code) {
    fprintf(stderr, "cannot %s: %s\n", doing, resolver_error_text(code));
    return 1;
}

/* Prints an address by way of the one that connect() takes. */
static void print_address(const uint64_t ip[2], uint8_t family, uint16_t port) {
    struct sockaddr_storage storage;
    char text[INET6_ADDRSTRLEN] = "?";
    resolver_sockaddr(ip, family, port, &storage);
    if (storage.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&storage;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        printf("%s:%u", text, ntohs(v4->sin_port));
    } else {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&storage;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        printf("[%s]:%u", text, ntohs(v6->sin6_port));
    }
}

static int print_picks(const resolver_segment *segment, uint64_t handle) {
    resolver_picker *picker;
    resolver_code code = resolver_picker_new(RESOLVER_PICKER_ROUND_ROBIN, 0, &picker);
    if (code != RESOLVER_OK) {
        return failed("make a picker", code);
    }
    for (int order = 0; order < 4; order++) {
        resolver_endpoint endpoint;
        code = resolver_pick(segment, picker, handle, 0, &endpoint);
        if (code != RESOLVER_OK) {
            resolver_picker_free(picker);
            return failed("pick", code);
        }
        printf("order %d to ", order);
        print_address(endpoint.ip, endpoint.family, endpoint.port);
        printf(" id %" PRIu64 " weight %" PRIu32 " zone %u\n", endpoint.id, endpoint.weight, endpoint.zone);
    }
    resolver_picker_free(picker);
    return 0;
}

/* A router's own view of its endpoints: what it has in flight with each. */
struct book {
    uint64_t id[16];
    uint64_t in_flight[16];
    size_t length;
};

static uint64_t in_flight(const resolver_endpoint *endpoint, void *user) {
    const struct book *book = user;
    for (size_t at = 0; at < book->length; at++) {
        if (book->id[at] == endpoint->id) {
            return book->in_flight[at];
        }
    }
    return 0;
}

/* The less loaded of two; and the next candidate that has the tags, and is not left out, after the first one failed. */
static int print_choices(const resolver_segment *segment, uint64_t handle, const resolver_record *primary) {
    struct book book = {{primary->id}, {1000}, 1};
    resolver_conditions conditions = {0};
    resolver_picker *power = NULL, *walk = NULL;
    resolver_ejections *ejections = NULL;
    resolver_endpoint endpoint;
    resolver_code code;
    if ((code = resolver_picker_new(RESOLVER_PICKER_POWER_OF_TWO, 1, &power)) == RESOLVER_OK &&
        (code = resolver_picker_new(RESOLVER_PICKER_FAILOVER, 0, &walk)) == RESOLVER_OK &&
        (code = resolver_ejections_new(50, &ejections)) == RESOLVER_OK &&
        (code = resolver_pick_less_loaded(segment, power, handle, in_flight, &book, &endpoint)) == RESOLVER_OK) {
        printf("less loaded: not the primary %d\n", primary->endpoints < 2 || endpoint.id != primary->id);
        conditions.tags = primary->tags;
        conditions.ejections = ejections;
        conditions.now_ns = 1;
        code = resolver_pick_where(segment, walk, handle, 0, &conditions, &endpoint);
        if (code == RESOLVER_OK && primary->endpoints > 1) {
            resolver_eject(ejections, &endpoint, 1, 30000000000, primary->endpoints);
            code = resolver_pick_where(segment, walk, handle, 0, &conditions, &endpoint);
        }
        if (code == RESOLVER_OK) {
            printf("next candidate id %" PRIu64 "\n", endpoint.id);
        }
    }
    resolver_ejections_free(ejections);
    resolver_picker_free(walk);
    resolver_picker_free(power);
    return code == RESOLVER_OK ? 0 : failed("choose", code);
}

int main(int count, char **arguments) {
    if (count != 4) {
        fprintf(stderr, "usage: %s PATH SERVICE SETTING\n", arguments[0]);
        return 2;
    }
    if (resolver_abi_version() != RESOLVER_ABI_VERSION) {
        fprintf(stderr, "compiled for another version of libresolver_ffi\n");
        return 1;
    }

    /* Off the hot path, once: the segment, the handle, the setting. */
    resolver_segment *segment;
    char message[512];
    resolver_code code = resolver_open_with_message(arguments[1], -1, &segment, message, sizeof message);
    if (code != RESOLVER_OK) {
        fprintf(stderr, "cannot open the segment: %s (%s)\n", resolver_error_text(code), message);
        return 1;
    }
    uint64_t handle;
    resolver_i64_setting limit;
    if ((code = resolver_service(segment, arguments[2], strlen(arguments[2]), &handle)) != RESOLVER_OK) {
        resolver_release(segment);
        return failed("find the service", code);
    }
    if ((code = resolver_setting_i64(segment, arguments[3], strlen(arguments[3]), &limit)) != RESOLVER_OK) {
        resolver_release(segment);
        return failed("find the setting", code);
    }

    /* On it. An error leaves what was there, so the last answer is kept by doing nothing. */
    resolver_record record;
    int64_t value;
    if ((code = resolver_resolve(segment, handle, &record)) != RESOLVER_OK) {
        resolver_release(segment);
        return failed("resolve", code);
    }
    if ((code = resolver_get_i64(segment, limit, &value)) != RESOLVER_OK) {
        resolver_release(segment);
        return failed("read the setting", code);
    }

    printf("%s at ", arguments[2]);
    print_address(record.address.ip, record.address.family, record.address.port);
    printf(" state %u reason %u id %" PRIu64 " tags %" PRIu64 " tier %u source %u endpoints %u current %d\n",
           resolver_state_of(&record.address), resolver_reason_of(&record.address), record.id, record.tags, record.tier,
           resolver_source_of(&record), record.endpoints, resolver_is_current(segment, handle, &record));
    printf("%s is %" PRId64 "\n", arguments[3], value);
    int result = print_picks(segment, handle);
    if (result == 0) {
        result = print_choices(segment, handle, &record);
    }
    resolver_release(segment);
    return result;
}
