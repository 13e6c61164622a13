// Operations whose sources are not there yet.
#include "backend.h"
#include "device.h"

namespace embedcore::cuda {

#define EMBEDCORE_UNFINISHED(name, Args) \
  Status name(Stream& stream, const Args&) { return refuse(stream, #name " is not part of this build"); }
EMBEDCORE_UNFINISHED(activation, ActivationArgs)
#undef EMBEDCORE_UNFINISHED

}  // namespace embedcore::cuda
