-- Makes wrk say what it measured as one line of JSON; times are in microseconds.
done = function(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "duration": %d, "bytes": %d, "p50": %d, "p99": %d, "failed": %d}\n',
      summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
      errors.connect + errors.read + errors.write + errors.timeout + errors.status
   ))
end
