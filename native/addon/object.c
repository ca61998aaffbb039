#include "addon.h"
void register_object(napi_env env, napi_value exports) { (void)env; (void)exports; }
