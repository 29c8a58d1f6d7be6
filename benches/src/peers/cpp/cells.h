// Cells of C++, one for each service, with the loop that reads them: no call is paid for each read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rust/cxx.h"

namespace peers {

enum class Kind : std::uint8_t { Seqlock, SharedPointer };

// A table of cells that say `values` at first. Its number; tables stay for as long as the process does.
std::size_t create(Kind kind, rust::Slice<const std::uint64_t> values);

// Makes the reads of these steps, in the order of path.rs, and folds what they give.
std::uint64_t run(std::size_t table, rust::Slice<const std::size_t> places, std::uint64_t begin, std::uint64_t end,
        bool dependent);

// Writes a record made from `value`. One writer at a time.
void write(std::size_t table, std::size_t at, std::uint64_t value);

}  // namespace peers
