//! Complete objects to start from, as JSON. Several a target where kinds or modes differ much.

/// `SessionClusters`.
pub const SESSION_CLUSTER: &[&str] = &[
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"SessionCluster","metadata":{"name":"a","namespace":"n","labels":{"a":"b"},"annotations":{"sluice.dev/defaults":"{\"/spec/numberOfTaskManagers\":2}"}},
    "spec":{"state":"RUNNING","deploymentTargetName":"t","flinkVersion":"1.20","flinkImageTag":"1.20.1","numberOfTaskManagers":2,
    "resources":{"jobmanager":{"cpu":1,"memory":"1Gi","ephemeralStorage":"1g"},"taskManager":{"cpu":"500m","memory":"2g"}},
    "flinkConfiguration":{"taskmanager.numberOfTaskSlots":2,"high-availability.type":"kubernetes","state":{"savepoints.dir":"s3://b/s"}},
    "logging":{"loggingProfile":"default","log4jLoggers":{"":"INFO"}},"logConfiguration":{"log4j-console.properties":"a = b"},
    "kubernetes":{"labels":{"a":"b"},"pods":{"annotations":{"a":"b"},"nodeSelector":{"a":"b"},"tolerations":[{"key":"a","operator":"Exists"}],"securityContext":{"runAsUser":1},
    "imagePullSecrets":[{"name":"s"}],"volumeMounts":[{"name":"v","volume":{"name":"v","emptyDir":{}},"volumeMount":{"name":"v","mountPath":"/v"}}],"envVars":[{"name":"A","value":"b"},{"name":"B","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}]}},
    "jars":["https://example.org/a.jar"],"plugins":[{"name":"p","jars":["/opt/p.jar"]}]},
    "status":{"state":"RUNNING","observedGeneration":1,"allocatedMilli":2000,"numberOfJobs":3}}"#,
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"SessionCluster","metadata":{"name":"a","namespace":"n","generation":1},
    "spec":{"state":"stopped","flinkVersion":1.12,"kubernetes":{"jobManagerPodTemplate":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"log","image":"x","resources":{"requests":{"cpu":"100m"}}}],"initContainers":[{"name":"i","image":"x"}]}},
    "taskManagerPodTemplate":{"spec":{"containers":[{"name":"flink-main-container","env":[{"name":"A","value":"b"}]}]}}}}}"#,
];

/// Deployments.
pub const DEPLOYMENT: &[&str] = &[
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"Deployment","metadata":{"name":"a","namespace":"n"},
    "spec":{"state":"running","deploymentTargetId":"57b4c290-73ad-11e7-8cf7-a6006ad3dba0","upgradeStrategy":{"kind":"stateless"},"restoreStrategy":{"kind":"latest_savepoint","allowNonRestoredState":false},
    "maxSavepointCreationAttempts":4,"maxJobCreationAttempts":5,"restartNonce":1,
    "template":{"metadata":{"annotations":{"a":"b"},"labels":{"a":"b"}},"spec":{"artifact":{"kind":"jar","flinkVersion":1.11,"jarUri":"https://example.org/a.jar","mainArgs":"--x 1","entryClass":"a.B"},
    "parallelism":3,"numberOfTaskManagers":2,"resources":{"jobManager":{"cpu":1,"memory":"1g"},"taskManager":{"cpu":1.0,"memory":"2g"}},
    "flinkConfiguration":{"taskmanager.numberOfTaskSlots":2,"state.savepoints.dir":"s3://b/s","jobmanager":{"scheduler":"adaptive"}},"logging":{"log4jLoggers":{"":"INFO"}},"kubernetes":{"pods":{"envVars":[{"name":"A","value":"b"}]}}}}},
    "status":{"state":"RUNNING","observedGeneration":1,"allocatedMilli":3000}}"#,
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"Deployment","metadata":{"name":"a","namespace":"n"},
    "spec":{"state":"CANCELLED","sessionClusterName":"c","template":{"spec":{"artifact":{"jarUri":"s3://b/a.jar","flinkVersion":"1.20"}}}}}"#,
];

/// `SessionJobs`.
pub const SESSION_JOB: &[&str] = &[
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"SessionJob","metadata":{"name":"a","namespace":"n"},
    "spec":{"state":"RUNNING","sessionClusterName":"c","job":{"entryClass":"a.B","args":["x",1],"jarUri":"https://example.org/a.jar","parallelism":2},"restartNonce":1,
    "flinkConfiguration":{"a":{"b":1}},"restoreStrategy":{"kind":"LATEST_STATE"},"upgradeStrategy":{"kind":"STATEFUL"}},"status":{"state":"RUNNING"}}"#,
];

/// `FlinkDeployments` of the Apache operator: an application, and a session cluster.
pub const FLINK_DEPLOYMENT: &[&str] = &[
    r#"{"apiVersion":"flink.apache.org/v1beta1","kind":"FlinkDeployment","metadata":{"name":"a","namespace":"n","labels":{"a":"b"},"annotations":{"sluice.dev/allow-recreate":"true"}},
    "spec":{"image":"flink:1.20","flinkVersion":"v1_20","serviceAccount":"flink","mode":"native","restartNonce":1,"imagePullPolicy":"Always",
    "flinkConfiguration":{"taskmanager.numberOfTaskSlots":"2","taskmanager.cpu.cores":"1.5","kubernetes.internal.taskmanager.replicas":"3","job.autoscaler.enabled":"true","job.autoscaler.quota.cpu":"4","high-availability.type":"kubernetes","state.savepoints.dir":"s3://b/s","state":{"checkpoints":{"dir":"s3://b/c"}}},
    "jobManager":{"resource":{"memory":"2048m","cpu":1,"ephemeralStorage":"1G"},"replicas":1,"podTemplate":{"spec":{"containers":[{"name":"log","resources":{"limits":{"cpu":1}}}]}}},
    "taskManager":{"replicas":2,"resources":{"requests":{"memory":"2Gi","cpu":"500m"},"limits":{"cpu":"1"}}},
    "podTemplate":{"spec":{"containers":[{"name":"log","image":"x","resources":{"requests":{"cpu":"100m"}}}]}},"logConfiguration":{"log4j-console.properties":"a = b"},
    "ingress":{"template":"{{name}}.{{namespace}}.example.org/(/|$)(.*)","className":"nginx"},
    "job":{"jarURI":"local:///a.jar","parallelism":2,"upgradeMode":"stateless","state":"running","args":["a"],"entryClass":"a.B","initialSavepointPath":"s3://b/s","savepointTriggerNonce":1,"allowNonRestoredState":true}},
    "status":{"lifecycleState":"STABLE","jobManagerDeploymentStatus":"READY","clusterInfo":{"total-cpu":"3.0"},"taskManager":{"replicas":1},"reconciliationStatus":{"state":"DEPLOYED","lastReconciledSpec":"{\"spec\":{\"job\":{\"state\":\"running\"}}}"}}}"#,
    r#"{"apiVersion":"flink.apache.org/v1beta1","kind":"FlinkDeployment","metadata":{"name":"a","namespace":"n"},
    "spec":{"image":"flink:1.17","flinkVersion":"v1_17","mode":"standalone","serviceAccount":"flink","jobManager":{"resource":{"memory":"2048m","cpu":1},"replicas":2},"taskManager":{"resource":{"memory":"2048m","cpu":1},"replicas":3}},
    "status":{"lifecycleState":"DEPLOYED"}}"#,
];

/// `FlinkSessionJobs` of the Apache operator.
pub const FLINK_SESSION_JOB: &[&str] = &[
    r#"{"apiVersion":"flink.apache.org/v1beta1","kind":"FlinkSessionJob","metadata":{"name":"a","namespace":"n"},
    "spec":{"deploymentName":"c","restartNonce":1,"flinkConfiguration":{"state.checkpoints.dir":"s3://b/c","parallelism.default":"4"},"job":{"jarURI":"https://example.org/a.jar","parallelism":2,"upgradeMode":"last-state","state":"running","args":["a"]}},
    "status":{"jobStatus":{"state":"RUNNING"},"reconciliationStatus":{"lastReconciledSpec":"{\"spec\":{}}"}}}"#,
];

/// Confluent's `FlinkApplications`, both groups.
pub const FLINK_APPLICATION: &[&str] = &[
    r#"{"apiVersion":"cmf.confluent.io/v1","kind":"FlinkApplication","metadata":{"name":"a","namespace":"n"},
    "spec":{"image":"cp-flink:1.19.1-cp2","flinkVersion":"v1_19","flinkConfiguration":{"taskmanager.numberOfTaskSlots":"1"},"serviceAccount":"flink","jobManager":{"resource":{"memory":"1024m","cpu":1}},"taskManager":{"resource":{"memory":"1024m","cpu":1}},
    "job":{"jarURI":"local:///a.jar","state":"running","parallelism":1,"upgradeMode":"stateless"}}}"#,
    r#"{"apiVersion":"platform.confluent.io/v1beta1","kind":"FlinkApplication","metadata":{"name":"a","namespace":"n"},
    "spec":{"flinkEnvironment":"e","image":"cp-flink:1.19.1-cp2","flinkVersion":"v1_19","serviceAccount":"flink","jobManager":{"resource":{"memory":"1024m","cpu":1}},"taskManager":{"resource":{"memory":"1024m","cpu":1}},
    "job":{"jarURI":"local:///a.jar","state":"suspended","parallelism":1,"upgradeMode":"stateless"}}}"#,
];

/// Kinds that configure Sluice.
pub const CONFIGURATION: &[&str] = &[
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"CpuQuota","metadata":{"name":"a","namespace":"n"},"spec":{"hard":{"cpu":"100"},"onGrowth":"Warn"}}"#,
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"ClusterCpuQuota","metadata":{"name":"a"},"spec":{"hard":{"cpu":1.5},"namespaces":["*"],"onGrowth":"Enforce"}}"#,
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"DeploymentDefaults","metadata":{"name":"a","namespace":"n"},"spec":{"state":"running","template":{"spec":{"parallelism":2,"flinkConfiguration":{"a.b":1}}},"sessionCluster":{"numberOfTaskManagers":2,"flinkVersion":"1.20"},"sessionJob":{"flinkConfiguration":{"a":"b"}},"flinkDeployment":{"serviceAccount":"flink","flinkVersion":"v1_20"},"flinkSessionJob":{"job":{"parallelism":1}},"flinkApplication":{"image":"x"}}}"#,
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"ClusterDeploymentDefaults","metadata":{"name":"a"},"spec":{"maxJobCreationAttempts":2,"sessionCluster":{"resources":{"taskmanager":{"cpu":2}}}}}"#,
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"Environment","metadata":{"name":"a"},"spec":{"namespaces":["n"],"deployment":{"maxJobCreationAttempts":2},"sessionCluster":{"flinkConfiguration":{"a":"b"}},"flinkDeployment":{"flinkConfiguration":{"a":"b"}}}}"#,
    r#"{"apiVersion":"sluice.dev/v1alpha1","kind":"DeploymentTarget","metadata":{"name":"a","namespace":"n"},"spec":{"kubernetes":{"namespace":"jobs"}}}"#,
];
