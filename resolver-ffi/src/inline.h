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
