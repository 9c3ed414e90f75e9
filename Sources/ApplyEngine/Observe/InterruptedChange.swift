/// Why no API server answers: the settings of control planes, or of etcd, that an interrupted command was changing.
struct InterruptedChange: Error, CustomStringConvertible {
    /// The masters on which what was there before is still kept.
    var masters: [HostObservation]

    var description: String {
        "an interrupted command was changing the control plane of \(masters.map(\.host).joined(separator: ", "))"
    }
}
