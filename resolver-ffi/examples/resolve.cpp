// The same as resolve.c, by way of resolver.hpp.
//
//     c++ -std=c++17 resolve.cpp $(pkg-config --cflags --libs resolver) -o resolve && ./resolve PATH SERVICE SETTING

#include <iostream>
#include <string>

#include <resolver.hpp>

namespace {

int failed(const char *doing, resolver::Code code) {
    std::cerr << "cannot " << doing << ": " << resolver::text(code) << '\n';
    return 1;
}

} // namespace

int main(int count, char **arguments) {
    if (count != 4) {
        std::cerr << "usage: " << arguments[0] << " PATH SERVICE SETTING\n";
        return 2;
    }
    std::string message;
    auto segment = resolver::Segment::open(arguments[1], std::nullopt, &message);
    if (!segment) {
        std::cerr << "cannot open the segment: " << resolver::text(segment.code()) << " (" << message << ")\n";
        return 1;
    }
    auto handle = segment->service(arguments[2]);
    if (!handle) {
        return failed("find the service", handle.code());
    }
    auto limit = segment->setting<std::int64_t>(arguments[3]);
    if (!limit) {
        return failed("find the setting", limit.code());
    }
    auto record = segment->resolve(*handle);
    if (!record) {
        return failed("resolve", record.code());
    }
    auto value = segment->get(*limit);
    if (!value) {
        return failed("read the setting", value.code());
    }
    std::cout << arguments[2] << " at " << resolver::address_text(*record) << " state "
              << unsigned{resolver::state(*record)} << " reason " << unsigned{resolver::reason(*record)} << " id "
              << record->id << " tags " << record->tags << " tier " << unsigned{record->tier} << " source "
              << unsigned{resolver_source_of(&*record)} << " endpoints " << record->endpoints << " current "
              << segment->is_current(*handle, *record) << '\n';
    std::cout << arguments[3] << " is " << *value << '\n';

    auto picker = resolver::Picker::make(RESOLVER_PICKER_ROUND_ROBIN);
    if (!picker) {
        return failed("make a picker", picker.code());
    }
    for (int order = 0; order < 4; order++) {
        auto endpoint = picker->pick(*segment, *handle);
        if (!endpoint) {
            return failed("pick", endpoint.code());
        }
        std::cout << "order " << order << " to " << resolver::address_text(*endpoint) << " id " << endpoint->id
                  << " weight " << endpoint->weight << " zone " << endpoint->zone << '\n';
    }
    auto power = resolver::Picker::make(RESOLVER_PICKER_POWER_OF_TWO, 1);
    auto walk = resolver::Picker::make(RESOLVER_PICKER_FAILOVER);
    auto ejections = resolver::Ejections::make(50);
    if (!power || !walk || !ejections) {
        return failed("make a picker", RESOLVER_INTERNAL);
    }
    // What this router has in flight with each endpoint.
    auto in_flight = [&](const resolver::Endpoint &endpoint) noexcept -> std::uint64_t {
        return endpoint.id == record->id ? 1000 : 0;
    };
    auto idle = power->pick_less_loaded(*segment, *handle, in_flight);
    if (!idle) {
        return failed("choose", idle.code());
    }
    std::cout << "less loaded: not the primary " << (record->endpoints < 2 || idle->id != record->id) << '\n';
    // The next candidate that has the tags and is not left out, after the first one failed.
    using std::chrono::nanoseconds;
    resolver::Conditions conditions{};
    conditions.tags = record->tags;
    conditions.ejections = ejections->get();
    conditions.now_ns = 1;
    auto next = walk->pick_where(*segment, *handle, conditions);
    if (next && record->endpoints > 1) {
        ejections->eject(*next, nanoseconds(1), std::chrono::seconds(30), record->endpoints);
        next = walk->pick_where(*segment, *handle, conditions);
    }
    if (!next) {
        return failed("choose", next.code());
    }
    std::cout << "next candidate id " << next->id << '\n';

    // A copy is a second reference to the same mapping.
    resolver::Segment copy = *segment;
    return copy.is_replaced() ? 1 : 0;
}
