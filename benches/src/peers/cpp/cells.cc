#include "resolver-benches/src/peers/cpp/cells.h"

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "resolver-benches/src/peers/cpp.rs.h"

namespace peers {
namespace {

using Record = std::array<std::uint64_t, 7>;

inline std::uint64_t fold(const Record& w) { return ((w[0] ^ w[4]) ^ (w[2] ^ w[6])) ^ ((w[1] ^ w[5]) ^ w[3]); }

inline Record record(std::uint64_t value) {
    Record words;
    words.fill(value);
    return words;
}

// The usual seqlock of C++ programs, in the form of rigtorp's library: value and sequence in one block of 128 bytes, a plain
// copy between two acquiring loads, the compiler held by signal fences.
class Seqlock {
public:
    void store(const Record& value) {
        const std::size_t seq = seq_.load(std::memory_order_relaxed);
        seq_.store(seq + 1, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_acq_rel);
        value_ = value;
        std::atomic_signal_fence(std::memory_order_acq_rel);
        seq_.store(seq + 2, std::memory_order_release);
    }

    Record load() const {
        for (;;) {
            const std::size_t before = seq_.load(std::memory_order_acquire);
            std::atomic_signal_fence(std::memory_order_acq_rel);
            const Record copy = value_;
            std::atomic_signal_fence(std::memory_order_acq_rel);
            const std::size_t after = seq_.load(std::memory_order_acquire);
            if (before == after && (before & 1) == 0) return copy;
        }
    }

    std::uint64_t read() const { return fold(load()); }

private:
    alignas(128) Record value_{};
    std::atomic<std::size_t> seq_{0};
};

class SharedPointer {
public:
    void store(const Record& value) {
        pointer_.store(std::make_shared<const Record>(value), std::memory_order_release);
    }

    std::uint64_t read() const { return fold(*pointer_.load(std::memory_order_acquire)); }

private:
    std::atomic<std::shared_ptr<const Record>> pointer_{std::make_shared<const Record>()};
};

struct Table {
    virtual ~Table() = default;
    virtual std::uint64_t run(rust::Slice<const std::size_t> places, std::uint64_t begin, std::uint64_t end,
        bool dependent) const = 0;
    virtual void write(std::size_t at, std::uint64_t value) = 0;
};

template <class Cell>
class Cells final : public Table {
public:
    explicit Cells(rust::Slice<const std::uint64_t> values) : cells_(values.size()) {
        for (std::size_t at = 0; at < values.size(); ++at) cells_[at].store(record(values[at]));
    }

    std::uint64_t run(rust::Slice<const std::size_t> places, std::uint64_t begin, std::uint64_t end,
        bool dependent) const override {
        const std::size_t* const place = places.data();
        const Cell* const cells = cells_.data();
        const std::size_t mask = places.size() - 1;
        std::uint64_t sum = 0;
        if (dependent) {
            for (std::uint64_t i = begin; i < end; ++i) sum = cells[place[(sum ^ i * 389) & mask]].read();
        } else {
            for (std::uint64_t i = begin; i < end; ++i) sum ^= cells[place[i & mask]].read();
        }
        return sum;
    }

    void write(std::size_t at, std::uint64_t value) override { cells_[at].store(record(value)); }

private:
    std::vector<Cell> cells_;
};

// Only grows, and only before a second thread is there.
std::vector<std::unique_ptr<Table>>& tables() {
    static std::vector<std::unique_ptr<Table>> all;
    return all;
}

}  // namespace

std::size_t create(Kind kind, rust::Slice<const std::uint64_t> values) {
    if (kind == Kind::Seqlock) {
        tables().push_back(std::make_unique<Cells<Seqlock>>(values));
    } else {
        tables().push_back(std::make_unique<Cells<SharedPointer>>(values));
    }
    return tables().size() - 1;
}

std::uint64_t run(std::size_t table, rust::Slice<const std::size_t> places, std::uint64_t begin, std::uint64_t end,
        bool dependent) {
    return tables().at(table)->run(places, begin, end, dependent);
}

void write(std::size_t table, std::size_t at, std::uint64_t value) { tables().at(table)->write(at, value); }

}  // namespace peers
