/* What V8 has been told of memory outside its heap: process.memoryUsage().external counts array buffers alone on some
   versions of Node. */
#define NAPI_VERSION 8
#include <node_api.h>

static napi_value external_bytes(napi_env env, napi_callback_info info) {
  (void)info;
  int64_t bytes = 0;
  napi_value result = NULL;
  napi_adjust_external_memory(env, 0, &bytes);
  napi_create_int64(env, bytes, &result);
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function = NULL;
  napi_create_function(env, "externalBytes", NAPI_AUTO_LENGTH, external_bytes, NULL, &function);
  napi_set_named_property(env, exports, "externalBytes", function);
  return exports;
}
