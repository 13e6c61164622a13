// Returns the memory that the allocator keeps to the system.
#pragma once

namespace embedcore {

// To be called after something large was freed. Safe from any thread.
void give_back_freed_memory() noexcept;

}  // namespace embedcore
