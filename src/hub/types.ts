/** Options of load that concern the Hugging Face hub. */
export interface HubOptions {
  /** Branch, tag or commit. Default `'main'`. */
  revision?: string
  /** Cache directory. Default `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`. */
  cacheDir?: string
  /** Access token. Default `HF_TOKEN`, else the token file of the hub's own command line. */
  token?: string
  /** Never touch the network. Default `HF_HUB_OFFLINE`, else false. */
  offline?: boolean
  /** Called while files are downloaded, at most every 50 ms per file and once at its end. */
  onProgress?: (progress: DownloadProgress) => void
  /** Stops the load, which then rejects with ERR_EMBEDCORE_ABORTED. */
  signal?: AbortSignal
}

export interface DownloadProgress {
  /** Path of the file inside the repository. */
  file: string
  /** Bytes of this file that have arrived. */
  loaded: number
  /** Bytes of the whole file. */
  total: number
}
