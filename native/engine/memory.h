// What the allocator keeps for later goes back to the system.
#pragma once

namespace embedcore {

// After something large was freed. Safe from any thread.
void give_back_freed_memory() noexcept;

}  // namespace embedcore
