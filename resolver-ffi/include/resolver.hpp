// C++17 over resolver.h: owners that release what they own, and results in place of exceptions.
//
// Nothing here throws but what allocates a std::string or a std::vector (the message of a failed open, address_text, text,
// incidents).

#ifndef RESOLVER_HPP
#define RESOLVER_HPP

#include <arpa/inet.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "resolver.h"

namespace resolver {

/// What a function returned; RESOLVER_OK is success.
using Code = resolver_code;
using Record = resolver_record;
using Address = resolver_address;
using Endpoint = resolver_endpoint;
using Standing = resolver_standing;
using Bytes = resolver_bytes;
using Conditions = resolver_conditions;
using Incident = resolver_incident;

inline const char *text(Code code) noexcept {
    return resolver_error_text(code);
}

/// A value, or the code that says why there is none. Reading the value of a failure is a defect of the caller.
template <typename T> class [[nodiscard]] Result {
  public:
    Result(Code code) noexcept : code_(code) {}
    Result(T value) noexcept : code_(RESOLVER_OK), value_(std::move(value)) {}

    explicit operator bool() const noexcept { return code_ == RESOLVER_OK; }
    Code code() const noexcept { return code_; }
    T &operator*() noexcept { return value_; }
    const T &operator*() const noexcept { return value_; }
    T *operator->() noexcept { return &value_; }
    const T *operator->() const noexcept { return &value_; }
    std::optional<T> optional() const { return *this ? std::optional<T>(value_) : std::nullopt; }

  private:
    Code code_;
    // Not set before the call that writes it: an answer is written once.
    T value_;
    struct Unset {};
    explicit Result(Unset) noexcept {}

  public:
    /// Makes the call with a place for its answer.
    template <typename F> static Result from(F call) noexcept {
        Result result{Unset{}};
        result.code_ = call(&result.value_);
        return result;
    }
};

/// A service of one segment, looked up once.
struct Handle {
    std::uint64_t bits = 0;
};

/// A setting of one segment, looked up once; T is std::int64_t, double, bool or Bytes.
template <typename T> struct Setting;
template <> struct Setting<std::int64_t> {
    resolver_i64_setting bits{};
};
template <> struct Setting<double> {
    resolver_f64_setting bits{};
};
template <> struct Setting<bool> {
    resolver_bool_setting bits{};
};
template <> struct Setting<Bytes> {
    resolver_bytes_setting bits{};
};

/// One reference to a mapped segment; copies are further ones. Any number of threads may use one.
class Segment {
  public:
    Segment() noexcept = default;
    Segment(const Segment &other) noexcept : segment_(other.segment_) { resolver_retain(segment_); }
    Segment(Segment &&other) noexcept : segment_(std::exchange(other.segment_, nullptr)) {}
    Segment &operator=(Segment other) noexcept {
        std::swap(segment_, other.segment_);
        return *this;
    }
    ~Segment() { resolver_release(segment_); }

    /// Without an owner: of this process's user, or root. Where it fails and `message` is not null, that says what was wrong.
    static Result<Segment> open(const std::string &path, std::optional<std::uint32_t> owner = std::nullopt,
                                std::string *message = nullptr) {
        if (resolver_abi_version() != RESOLVER_ABI_VERSION) {
            return Code{RESOLVER_INTERNAL};
        }
        char said[512] = "";
        Segment segment;
        std::int64_t uid = owner ? std::int64_t{*owner} : -1;
        Code code = resolver_open_with_message(path.c_str(), uid, &segment.segment_, said, sizeof said);
        if (message != nullptr) {
            *message = said;
        }
        if (code != RESOLVER_OK) {
            return code;
        }
        return segment;
    }

    /// As open, for a program that may start before its agent; RESOLVER_MISSING after the timeout. Blocks.
    static Result<Segment> open_or_wait(const std::string &path, std::chrono::milliseconds timeout,
                                        std::optional<std::uint32_t> owner = std::nullopt,
                                        std::string *message = nullptr) {
        if (resolver_abi_version() != RESOLVER_ABI_VERSION) {
            return Code{RESOLVER_INTERNAL};
        }
        char said[512] = "";
        Segment segment;
        std::int64_t uid = owner ? std::int64_t{*owner} : -1;
        auto patience = timeout.count() < 0 ? 0 : static_cast<std::uint64_t>(timeout.count());
        Code code = resolver_open_or_wait(path.c_str(), uid, patience, &segment.segment_, said, sizeof said);
        if (message != nullptr) {
            *message = said;
        }
        if (code != RESOLVER_OK) {
            return code;
        }
        return segment;
    }

    Result<Handle> service(std::string_view name) const noexcept {
        return Result<Handle>::from(
            [&](Handle *out) { return resolver_service(segment_, name.data(), name.size(), &out->bits); });
    }

    // The hot path.

    Result<Record> resolve(Handle handle) const noexcept {
        return Result<Record>::from([&](Record *out) { return resolver_resolve(segment_, handle.bits, out); });
    }

    /// Leaves the last answer where it is when there is no new one.
    Code resolve(Handle handle, Record &into) const noexcept {
        return resolver_resolve(segment_, handle.bits, &into);
    }

    Result<Address> resolve_address(Handle handle) const noexcept {
        return Result<Address>::from(
            [&](Address *out) { return resolver_resolve_address(segment_, handle.bits, out); });
    }

    bool is_current(Handle handle, const Record &record) const noexcept {
        return resolver_is_current(segment_, handle.bits, &record);
    }

    std::uint64_t epoch() const noexcept { return resolver_epoch(segment_); }

    Result<std::int64_t> get(Setting<std::int64_t> setting) const noexcept {
        return Result<std::int64_t>::from(
            [&](std::int64_t *out) { return resolver_get_i64(segment_, setting.bits, out); });
    }

    Result<double> get(Setting<double> setting) const noexcept {
        return Result<double>::from([&](double *out) { return resolver_get_f64(segment_, setting.bits, out); });
    }

    Result<bool> get(Setting<bool> setting) const noexcept {
        return Result<bool>::from([&](bool *out) { return resolver_get_bool(segment_, setting.bits, out); });
    }

    Result<Bytes> get(Setting<Bytes> setting) const noexcept {
        return Result<Bytes>::from([&](Bytes *out) { return resolver_get_bytes(segment_, setting.bits, out); });
    }

    // Off it.

    template <typename T> Result<Setting<T>> setting(std::string_view name) const noexcept {
        return Result<Setting<T>>::from([&](Setting<T> *out) {
            if constexpr (std::is_same_v<T, std::int64_t>) {
                return resolver_setting_i64(segment_, name.data(), name.size(), &out->bits);
            } else if constexpr (std::is_same_v<T, double>) {
                return resolver_setting_f64(segment_, name.data(), name.size(), &out->bits);
            } else if constexpr (std::is_same_v<T, bool>) {
                return resolver_setting_bool(segment_, name.data(), name.size(), &out->bits);
            } else {
                return resolver_setting_bytes(segment_, name.data(), name.size(), &out->bits);
            }
        });
    }

    Result<Standing> standing(Handle handle) const noexcept {
        return Result<Standing>::from([&](Standing *out) { return resolver_standing_of(segment_, handle.bits, out); });
    }

    /// Ids and tags of the set, as a JSON array, for people; empty where the publisher gave none.
    Result<std::string> text(Handle handle) const {
        std::string said;
        std::size_t length = 0;
        Code code = resolver_text(segment_, handle.bits, nullptr, 0, &length);
        // It may have grown meanwhile.
        while (code == RESOLVER_OK && length > said.size()) {
            said.resize(length);
            code = resolver_text(segment_, handle.bits, said.data(), said.size(), &length);
        }
        if (code != RESOLVER_OK) {
            return code;
        }
        said.resize(length);
        return said;
    }

    std::uint64_t counter(std::uint8_t number) const noexcept { return resolver_counter(segment_, number); }

    /// The publisher's log of distinct errors.
    std::vector<Incident> incidents() const {
        std::vector<Incident> incidents(64);
        std::size_t count = 0;
        if (resolver_incidents(segment_, incidents.data(), incidents.size(), &count) != RESOLVER_OK) {
            count = 0;
        }
        incidents.resize(count < incidents.size() ? count : incidents.size());
        return incidents;
    }

    /// Whether the path leads to another segment by now: open that one, and look names up again. A system call.
    bool is_replaced() const noexcept { return resolver_poll(segment_) == RESOLVER_REPLACED; }

    const resolver_segment *get() const noexcept { return segment_; }

  private:
    resolver_segment *segment_ = nullptr;
};

/// A handle of one thread that keeps its last answer, for one that is asked all the time. It holds a reference to its segment.
class Cached {
  public:
    static Result<Cached> make(const Segment &segment, Handle handle) noexcept {
        resolver_cached *made = nullptr;
        Code code = resolver_cached_new(segment.get(), handle.bits, &made);
        if (code != RESOLVER_OK) {
            return code;
        }
        return Cached(made);
    }
    Cached() noexcept = default;

    /// The hot path.
    Result<Record> resolve() noexcept {
        return Result<Record>::from([&](Record *out) { return resolver_cached_resolve(cached_.get(), out); });
    }

  private:
    struct Free {
        void operator()(resolver_cached *cached) const noexcept { resolver_cached_free(cached); }
    };
    explicit Cached(resolver_cached *cached) noexcept : cached_(cached) {}
    std::unique_ptr<resolver_cached, Free> cached_;
};

/// Endpoints that one thread leaves out for a while. Times are of any clock of this thread that only goes forward.
class Ejections {
  public:
    using Time = std::chrono::nanoseconds;

    static Result<Ejections> make(std::uint8_t most_percent) noexcept {
        resolver_ejections *made = nullptr;
        Code code = resolver_ejections_new(most_percent, &made);
        if (code != RESOLVER_OK) {
            return code;
        }
        return Ejections(made);
    }
    Ejections() noexcept = default;

    /// RESOLVER_NONE_ACCEPTED where too many are out already.
    Code eject(const Endpoint &endpoint, Time now, Time until, std::size_t endpoints) noexcept {
        return resolver_eject(ejections_.get(), &endpoint, static_cast<std::uint64_t>(now.count()),
                              static_cast<std::uint64_t>(until.count()), endpoints);
    }
    bool is_out(const Endpoint &endpoint, Time now) const noexcept {
        return resolver_is_ejected(ejections_.get(), &endpoint, static_cast<std::uint64_t>(now.count()));
    }
    void clear() noexcept { resolver_ejections_clear(ejections_.get()); }
    const resolver_ejections *get() const noexcept { return ejections_.get(); }

  private:
    struct Free {
        void operator()(resolver_ejections *ejections) const noexcept { resolver_ejections_free(ejections); }
    };
    explicit Ejections(resolver_ejections *ejections) noexcept : ejections_(ejections) {}
    std::unique_ptr<resolver_ejections, Free> ejections_;
};

/// A picker of one thread and one service.
class Picker {
  public:
    Picker() noexcept = default;

    static Result<Picker> make(resolver_picker_kind kind, std::uint64_t seed = 0) noexcept {
        resolver_picker *made = nullptr;
        Code code = resolver_picker_new(kind, seed, &made);
        if (code != RESOLVER_OK) {
            return code;
        }
        return Picker(made);
    }

    /// The hot path.
    Result<Endpoint> pick(const Segment &segment, Handle handle, std::uint64_t key = 0) noexcept {
        return Result<Endpoint>::from(
            [&](Endpoint *out) { return resolver_pick(segment.get(), picker_.get(), handle.bits, key, out); });
    }

    /// Among the endpoints that meet conditions.
    Result<Endpoint> pick_where(const Segment &segment, Handle handle, const Conditions &conditions,
                                std::uint64_t key = 0) noexcept {
        return Result<Endpoint>::from([&](Endpoint *out) {
            return resolver_pick_where(segment.get(), picker_.get(), handle.bits, key, &conditions, out);
        });
    }

    /// Among the endpoints that `accept` is true of: bool(const Endpoint &) noexcept, called within the pick.
    template <typename F>
    std::enable_if_t<std::is_nothrow_invocable_r_v<bool, F &, const Endpoint &>, Result<Endpoint>>
    pick_if(const Segment &segment, Handle handle, F accept, std::uint64_t key = 0) noexcept {
        Conditions conditions{};
        conditions.user = &accept;
        conditions.accept = [](const Endpoint *endpoint, void *user) -> bool {
            return (*static_cast<F *>(user))(*endpoint);
        };
        return pick_where(segment, handle, conditions, key);
    }

    /// The less loaded of two, for a RESOLVER_PICKER_POWER_OF_TWO; `load` is std::uint64_t(const Endpoint &) noexcept, called
    /// within the pick. The hot path.
    template <typename F>
    std::enable_if_t<std::is_nothrow_invocable_r_v<std::uint64_t, F &, const Endpoint &>, Result<Endpoint>>
    pick_less_loaded(const Segment &segment, Handle handle, F load) noexcept {
        auto call = [](const Endpoint *endpoint, void *user) -> std::uint64_t {
            return (*static_cast<F *>(user))(*endpoint);
        };
        return Result<Endpoint>::from([&](Endpoint *out) {
            return resolver_pick_less_loaded(segment.get(), picker_.get(), handle.bits, call, &load, out);
        });
    }

    Code failed() noexcept { return resolver_picker_failed(picker_.get()); }
    Code reset() noexcept { return resolver_picker_reset(picker_.get()); }

  private:
    struct Free {
        void operator()(resolver_picker *picker) const noexcept { resolver_picker_free(picker); }
    };
    explicit Picker(resolver_picker *picker) noexcept : picker_(picker) {}
    std::unique_ptr<resolver_picker, Free> picker_;
};

/// Watches the publisher's pulse for one thread. Times are of any clock of this thread that only goes forward.
class Liveness {
  public:
    using Time = std::chrono::nanoseconds;

    Liveness() noexcept {
        resolver_liveness *made = nullptr;
        if (resolver_liveness_new(&made) == RESOLVER_OK) {
            liveness_.reset(made);
        }
    }

    Code poll(const Segment &segment, Time now) noexcept {
        return resolver_liveness_poll(liveness_.get(), segment.get(), static_cast<std::uint64_t>(now.count()));
    }

    /// Nothing while no beat was seen.
    std::optional<Time> silence() const noexcept { return time(resolver_liveness_silence(liveness_.get())); }
    std::optional<Time> age(std::uint8_t source) const noexcept {
        return time(resolver_liveness_age(liveness_.get(), source));
    }

    /// The hot path. RESOLVER_OLD writes the last answer to `into`, too.
    Code resolve(const Segment &segment, Handle handle, Time max_age, Record &into,
                 std::uint64_t *age_ns = nullptr) const noexcept {
        return resolver_resolve_fresh(segment.get(), handle.bits, static_cast<std::uint64_t>(max_age.count()),
                                      liveness_.get(), &into, age_ns);
    }

  private:
    static std::optional<Time> time(std::uint64_t nanos) noexcept {
        return nanos == RESOLVER_UNKNOWN_AGE ? std::nullopt : std::optional<Time>(Time(nanos));
    }
    struct Free {
        void operator()(resolver_liveness *liveness) const noexcept { resolver_liveness_free(liveness); }
    };
    std::unique_ptr<resolver_liveness, Free> liveness_;
};

inline std::uint8_t state(const Record &record) noexcept {
    return resolver_state_of(&record.address);
}

inline std::uint8_t reason(const Record &record) noexcept {
    return resolver_reason_of(&record.address);
}

/// Fills a socket address for connect(), and returns its length.
inline socklen_t sockaddr(const Record &record, sockaddr_storage &storage) noexcept {
    return resolver_sockaddr(record.address.ip, record.address.family, record.address.port, &storage);
}

inline socklen_t sockaddr(const Endpoint &endpoint, sockaddr_storage &storage) noexcept {
    return resolver_sockaddr(endpoint.ip, endpoint.family, endpoint.port, &storage);
}

/// "10.0.0.1:9000", "[2001:db8::1]:9000"; for people.
inline std::string address_text(const std::uint64_t (&ip)[2], std::uint8_t family, std::uint16_t port) {
    std::uint8_t bytes[16];
    char text[INET6_ADDRSTRLEN] = "?";
    bool is_v4 = resolver_ip_bytes(ip, family, bytes) == 4;
    inet_ntop(is_v4 ? AF_INET : AF_INET6, bytes, text, sizeof text);
    return (is_v4 ? std::string(text) : '[' + std::string(text) + ']') + ':' + std::to_string(port);
}

inline std::string address_text(const Record &record) {
    return address_text(record.address.ip, record.address.family, record.address.port);
}

inline std::string address_text(const Endpoint &endpoint) {
    return address_text(endpoint.ip, endpoint.family, endpoint.port);
}

} // namespace resolver

#endif
