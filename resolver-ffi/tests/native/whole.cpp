// Every owner of resolver.hpp at work; the process says 0, or the line that did not hold.

#include <cstdio>
#include <thread>
#include <type_traits>

#include <resolver.hpp>

#define HOLDS(what)                                                                                                    \
    do {                                                                                                               \
        if (!(what)) {                                                                                                 \
            std::fprintf(stderr, "line %d: %s\n", __LINE__, #what);                                                    \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (false)

using namespace resolver;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<Segment> && std::is_nothrow_copy_constructible_v<Segment>);
static_assert(!std::is_copy_constructible_v<Picker> && std::is_nothrow_move_constructible_v<Picker>);
static_assert(!std::is_copy_constructible_v<Cached> && !std::is_copy_constructible_v<Ejections>);
static_assert(noexcept(std::declval<const Segment &>().resolve(Handle{})));

int main(int, char **arguments) {
    HOLDS(Segment::open("/no-such/main.seg").code() == RESOLVER_IO);
    HOLDS(!Segment::open("/no-such/main.seg").optional());
    auto opened = Segment::open(arguments[1]);
    HOLDS(opened);
    Segment segment = std::move(*opened);
    HOLDS(opened->get() == nullptr && segment.get() != nullptr);
    HOLDS(segment.service("no-such").code() == RESOLVER_UNKNOWN);
    HOLDS(Segment().resolve(Handle{}).code() == RESOLVER_NULL);
    auto oms = segment.service("oms");
    HOLDS(oms && segment.epoch() > 0 && !segment.is_replaced());

    Record record{};
    HOLDS(segment.resolve(*oms, record) == RESOLVER_OK && segment.is_current(*oms, record));
    HOLDS(segment.resolve_address(*oms).optional()->port == record.address.port);
    HOLDS(segment.standing(*oms)->state == state(record) && segment.standing(*oms)->reason == reason(record));
    sockaddr_storage storage;
    HOLDS(resolver::sockaddr(record, storage) == sizeof(sockaddr_in) && storage.ss_family == AF_INET);

    HOLDS(*segment.get(*segment.setting<std::int64_t>("max-position")) == -250000);
    HOLDS(segment.setting<bool>("max-position").code() == RESOLVER_KIND);
    HOLDS(segment.setting<double>("max-position").code() == RESOLVER_KIND);
    HOLDS(segment.setting<Bytes>("no-such").code() == RESOLVER_UNKNOWN);
    HOLDS(segment.get(Setting<double>{}).code() == RESOLVER_GONE && segment.get(Setting<bool>{}).code() == RESOLVER_GONE);
    HOLDS(segment.get(Setting<Bytes>{}).code() == RESOLVER_GONE);

    auto picker = Picker::make(RESOLVER_PICKER_FAILOVER);
    HOLDS(picker && picker->pick(segment, *oms)->id == record.id);
    HOLDS(picker->failed() == RESOLVER_OK && picker->pick(segment, *oms)->id != record.id);
    HOLDS(picker->reset() == RESOLVER_OK && picker->pick(segment, *oms)->id == record.id);
    auto keyed = Picker::make(RESOLVER_PICKER_RENDEZVOUS);
    HOLDS(keyed->pick(segment, *oms, 7)->id == keyed->pick(segment, *oms, 7)->id);

    auto random = Picker::make(RESOLVER_PICKER_RANDOM, 7);
    auto not_first = [&](const Endpoint &endpoint) noexcept { return endpoint.id != record.id; };
    for (int pick = 0; pick < 20; pick++) {
        HOLDS(random->pick_if(segment, *oms, not_first)->id != record.id);
    }
    HOLDS(random->pick_if(segment, *oms, [](const Endpoint &) noexcept { return false; }).code() ==
          RESOLVER_NONE_ACCEPTED);
    auto power = Picker::make(RESOLVER_PICKER_POWER_OF_TWO, 7);
    auto load = [&](const Endpoint &endpoint) noexcept -> std::uint64_t { return endpoint.id == record.id; };
    HOLDS(power->pick_less_loaded(segment, *oms, load)->id != record.id);
    HOLDS(power->pick(segment, *oms).code() == RESOLVER_ARGUMENT);
    auto ejections = Ejections::make(50);
    Endpoint first{};
    first.id = record.id;
    HOLDS(ejections->eject(first, 1s, 2s, 4) == RESOLVER_OK && ejections->is_out(first, 1s));
    HOLDS(!ejections->is_out(first, 2s));
    Conditions conditions{};
    conditions.ejections = ejections->get();
    conditions.now_ns = 1500000000;
    HOLDS(Picker::make(RESOLVER_PICKER_ROUND_ROBIN)->pick_where(segment, *oms, conditions)->id != record.id);
    ejections->clear();
    auto cached = Cached::make(segment, *oms);
    HOLDS(cached->resolve()->id == record.id && cached->resolve()->sequence == record.sequence);
    HOLDS(Segment::open_or_wait("/no-such/main.seg", 1ms).code() == RESOLVER_MISSING);
    HOLDS(Segment::open_or_wait(arguments[1], 1s));
    HOLDS(segment.text(*oms)->empty() && segment.incidents().empty() && segment.counter(0) > 0);

    Liveness liveness;
    HOLDS(liveness.poll(segment, 1s) == RESOLVER_OK && !liveness.silence() && !liveness.age(0));
    Record last{};
    HOLDS(liveness.resolve(segment, *oms, 1h, last) == RESOLVER_OLD && last.id == record.id);

    // Each thread has a reference of its own, and outlives this one's.
    bool same = false;
    std::thread thread([copy = segment, handle = *oms, id = record.id, &same] { same = copy.resolve(handle)->id == id; });
    segment = Segment();
    thread.join();
    HOLDS(same && segment.get() == nullptr);
    return 0;
}
